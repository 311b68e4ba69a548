"""Environment -> facts about job, pod, image, and what changed the build."""

import msgspec
import pytest

from buildjob import telemetry
from buildjob.agent.ci_facts import asked_facts, asked_faults, build_variables, image_digest, job_facts, versions


def job(**variables: str) -> telemetry.Job:
    facts = job_facts({"CI_JOB_ID": "7", **variables})
    assert isinstance(facts, telemetry.Job)
    return facts


def test_outside_ci_there_is_no_job_and_nothing_was_asked_for() -> None:
    assert job_facts({"CI_JOB_NAME": "x"}) is msgspec.UNSET
    assert asked_facts({"SPACK_FARM_ASKED_MEMORY_BYTES": ""}) is msgspec.UNSET
    assert image_digest({}) == ""


def test_the_job_is_what_gitlab_and_the_driver_say() -> None:
    facts = job(CI_COMMIT_REF_PROTECTED="true", SPACK_FARM_POD="p", HOSTNAME="h", CI_PROJECT_PATH="a/b")
    assert (facts.id, facts.project, facts.ref_protected, facts.pod) == ("7", "a/b", True, "p")
    assert job(HOSTNAME="h").pod == "h"
    assert image_digest({"SPACK_FARM_IMAGE_DIGEST": "r/i@sha256:0"}) == "r/i@sha256:0"


@pytest.mark.parametrize(("text", "attempt"), [("1", 1), ("3", 3), ("", 0), ("x", 0), ("-1", 0), ("1.5", 0)])
def test_the_attempt_is_a_number_from_1_or_unknown(text: str, attempt: int) -> None:
    assert job(SPACK_FARM_JOB_ATTEMPT=text).attempt == attempt


def test_what_was_asked_for_is_what_the_downward_api_says() -> None:
    facts = asked_facts({"SPACK_FARM_ASKED_MEMORY_BYTES": "1073741824", "SPACK_FARM_ASKED_CPU_MILLICORES": "half"})
    assert facts == telemetry.Asked(memory_bytes=1 << 30)


def test_variables_that_reach_the_build_and_change_it_are_kept() -> None:
    given = {
        "CC": "gcc-12",
        "PYTHONPATH": "/x",
        "MAKEFLAGS": "-k",
        "LANG": "C",
        "HOME": "/h",
        "CI_JOB_ID": "7",
        "SPACK_ENV": "/e",
    }
    assert build_variables(given, is_spack=False) == {"CC": "gcc-12", "PYTHONPATH": "/x", "MAKEFLAGS": "-k", "LANG": "C"}
    assert build_variables(given, is_spack=True) == {"MAKEFLAGS": "-k", "LANG": "C", "SPACK_ENV": "/e"}


def test_a_long_value_is_cut() -> None:
    cut = build_variables({"PATH": "/bin:" * 2000}, is_spack=True)["PATH"]
    assert len(cut) == 4096
    assert cut.endswith("…")


def test_the_programs_are_named_with_their_versions() -> None:
    known = versions(spack="1.1.0")
    assert known.spack == "1.1.0"
    assert known.spack_farm
    assert known.python.startswith("3.")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SPACK_FARM_ASKED_MEMORY_BYTES", "4Gi", "='4Gi' is ignored: give a whole number of bytes"),
        ("SPACK_FARM_ASKED_MEMORY_LIMIT_BYTES", "-1", "is ignored"),
        ("SPACK_FARM_ASKED_DISK_BYTES", "1e9", "is ignored"),
        ("SPACK_FARM_ASKED_DISK_BYTES", "0", "above 0"),
        ("SPACK_FARM_ASKED_DISK_BYTES", "9" * 19, "is ignored"),
        ("SPACK_FARM_ASKED_DISK_BYTES", "\u0663", "is ignored"),
        ("SPACK_FARM_ASKED_CPU_MILLICORES", "0.5", "thousandths of a CPU"),
        ("SPACK_FARM_ASKED_CPU_MILLICORES", "500m", "is ignored"),
        ("SPACK_FARM_ASKED_CPU_MILLICORES", " 500", "is ignored"),
        ("SPACK_FARM_ASKED_MEMORY", "1", "did you mean SPACK_FARM_ASKED_MEMORY_BYTES?"),
        ("SPACK_FARM_ASKED_CPUS", "1", "did you mean SPACK_FARM_ASKED_CPU_MILLICORES?"),
        ("spack_farm_asked_disk_bytes", "1", "did you mean SPACK_FARM_ASKED_DISK_BYTES?"),
    ],
)
def test_an_amount_that_cannot_be_read_is_named_and_left_out(name: str, value: str, complaint: str) -> None:
    (fault,) = asked_faults({name: value})
    assert name in fault
    assert complaint in fault
    assert asked_facts({name: value}) is msgspec.UNSET


def test_what_was_asked_for_as_it_should_be_is_no_fault() -> None:
    assert asked_faults({"SPACK_FARM_ASKED_MEMORY_BYTES": "1073741824", "SPACK_FARM_ASKED_DISK_BYTES": ""}) == []
