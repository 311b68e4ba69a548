"""Which known name one that is unknown may have meant."""

import pytest

from spelling.nearest import did_you_mean, nearest

KEYS = ("namespace", "memory_request", "memory_limit", "timeout_seconds", "image_pull_secrets", "os", "most_nodes")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("namespce", "namespace"),
        ("Namespace", "namespace"),
        ("memory-request", "memory_request"),
        ("MEMORY_LIMIT", "memory_limit"),
        ("memory_limits", "memory_limit"),
        ("timeout", "timeout_seconds"),
        ("time_out", "timeout_seconds"),
        ("memory", "memory_limit"),  # the shortest of those that begin so
        ("pull_secrets", "image_pull_secrets"),
        ("imagepullsecrets", "image_pull_secrets"),
        ("nodes", "most_nodes"),
        ("most_node", "most_nodes"),
        ("", ""),
        ("_", ""),
        ("spaces", ""),
        ("color", ""),
        ("x" * 1_000_000, ""),
    ],
)
def test_the_nearest_name_is_found_and_none_where_none_is_near(given: str, meant: str) -> None:
    assert nearest(given, KEYS) == meant


def test_what_all_names_begin_with_makes_none_of_them_near() -> None:
    known = ("SPACK_FARM_BUILD_MIRROR", "SPACK_FARM_BUILD_JOBS")
    assert nearest("SPACK_FARM_BUILD_COLOR", known, after="SPACK_FARM_BUILD_") == ""
    assert nearest("spack_farm_build_miror", known, after="SPACK_FARM_BUILD_") == "SPACK_FARM_BUILD_MIRROR"
    assert nearest("SPACK_FARM_BUILD_", known, after="SPACK_FARM_BUILD_") == ""


def test_an_offer_stands_behind_the_name_that_is_unknown() -> None:
    assert did_you_mean("oss", KEYS) == " (did you mean os?)"
    assert did_you_mean("color", KEYS) == ""
    assert did_you_mean("color", ()) == ""
