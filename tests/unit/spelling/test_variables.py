"""Variables that are nearly ones of ours."""

import pytest

from spelling.variables import likely_slips, unknown_variables

PREFIX = "SPACK_FARM_BUILD_"
KNOWN = ("SPACK_FARM_BUILD_MIRROR", "SPACK_FARM_BUILD_OUT")


def test_variables_with_the_prefix_that_are_not_known_are_found_in_whatever_case() -> None:
    given = ["SPACK_FARM_BUILD_OUT", "spack_farm_build_out", "SPACK_FARM_BUILD_COLOR", "SPACK_FARM_BUILD_MIRORR", "PATH"]
    assert unknown_variables(given, KNOWN, PREFIX) == [
        ("SPACK_FARM_BUILD_COLOR", ""),
        ("SPACK_FARM_BUILD_MIRORR", " (did you mean SPACK_FARM_BUILD_MIRROR?)"),
        ("spack_farm_build_out", " (did you mean SPACK_FARM_BUILD_OUT?)"),
    ]


@pytest.mark.parametrize(
    "name", ["SPACK_FARM_BIULD_MIRROR", "SPACK_FARM_MIRROR", "SPACKFARM_BUILD_MIRROR", "SPAK_FARM_BUILD_MIRROR"]
)
def test_a_slip_before_the_name_is_said_since_the_variable_may_be_another_program_s(name: str) -> None:
    assert list(likely_slips([name], KNOWN, mark="FARM", spared=(PREFIX,))) == [
        f"the variable {name} is ignored (did you mean SPACK_FARM_BUILD_MIRROR?)"
    ]


def test_what_others_answer_for_and_what_is_not_near_is_no_slip() -> None:
    given = [
        "SPACK_FARM_BUILD_MIRORR",
        "SPACK_FARM_POD",
        "SPACK_FARM",
        "FARM",
        "MIRROR_FARM",
        "SPACK_BUILD_MIRROR",
        *KNOWN,
    ]
    assert list(likely_slips(given, KNOWN, mark="FARM", spared=(PREFIX,))) == []
