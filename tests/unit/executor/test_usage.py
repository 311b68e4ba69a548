"""What a script has used: the line of the job log, and the document with the keys of telemetry.json."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.attempt import Attempt
from executor.counters import Counters
from executor.job import GitInfo, Job, JobInfo, Variable
from executor.sizes import Size
from executor.stream_state import ScriptEnd
from executor.usage import document, used_line

GIB = 1 << 30
ATTEMPT = Attempt(
    pod="job-1-a", namespace="n", node="node-1", image="debian:12", image_digest="debian@sha256:1f", number=2,
    size=Size(cpu_request_millicores=500, memory_request_bytes=GIB, memory_limit_bytes=2 * GIB, disk_request_bytes=8 * GIB),
)  # fmt: skip


def ended(*, after: Counters, before: Counters | None = None, peak_bytes: int = 0) -> ScriptEnd:
    return ScriptEnd(
        exit_code=0, before=before or Counters(), after=after, working_set_peak_bytes=peak_bytes, log_is_whole=True
    )


def test_the_line_of_figures_tells_what_was_used_of_what() -> None:
    end = ended(
        before=Counters(cpu_seconds=100), after=Counters(cpu_seconds=8464, limit_bytes=12 * GIB), peak_bytes=int(11.8 * GIB)
    )
    attempt = Attempt(pod="p", namespace="n", size=Size(cpu_limit_millicores=4000))
    line = used_line(end, attempt, wall_seconds=2460)
    assert line == "used 11.8 of 12.0 GiB (working set), 3.4 of 4 cores, 41 min"


def test_without_limits_the_line_tells_only_what_was_used() -> None:
    end = ended(before=Counters(cpu_seconds=0.5), after=Counters(memory_bytes=64 << 20, cpu_seconds=3.5))
    line = used_line(end, Attempt(pod="p", namespace="n"), wall_seconds=2)
    assert line == "used 64 MiB (working set), 1.5 cores, 2 s"


def test_without_counters_the_line_is_the_time() -> None:
    assert used_line(ended(after=Counters()), Attempt(pod="p", namespace="n"), wall_seconds=3) == "used 3 s"


def test_two_units_are_both_line() -> None:
    end = ended(after=Counters(memory_bytes=64 << 20, limit_bytes=2 * GIB))
    assert used_line(end, Attempt(pod="p", namespace="n"), wall_seconds=3) == "used 64 MiB of 2.0 GiB (working set), 3 s"


CPU_4 = Attempt(pod="p", namespace="n", size=Size(cpu_limit_millicores=4000, memory_limit_bytes=GIB))


@pytest.mark.parametrize(
    ("before", "after", "peak", "wall", "line"),
    [
        # too short for a rate: 75 cores of 0.004 s
        (Counters(cpu_seconds=1), Counters(cpu_seconds=1.3), 0, 0.004, "used 0.1 s"),
        # the counter of before is unknown: the difference would be the container's whole life
        (Counters(), Counters(cpu_seconds=900), 0, 10, "used 10 s"),
        # the container was started again: its counter begins anew
        (Counters(cpu_seconds=900), Counters(cpu_seconds=3), 0, 10, "used 10 s"),
        # a period of the quota more than fits
        (Counters(cpu_seconds=1), Counters(cpu_seconds=45), 0, 10, "used 4 of 4 cores, 10 s"),
        (Counters(cpu_seconds=1), Counters(cpu_seconds=1.4), 0, 10, "used 0.04 of 4 cores, 10 s"),
        # charges that the kernel cannot refuse
        (Counters(), Counters(memory_bytes=5), GIB + (9 << 20), 3, "used 1.0 of 1.0 GiB (working set), 3 s"),
        (Counters(), Counters(), int(0.9999 * GIB), 3, "used 1.0 of 1.0 GiB (working set), 3 s"),
        # the clock was set back
        (Counters(cpu_seconds=1), Counters(cpu_seconds=2), 0, -7, "used 0.1 s"),
    ],
)
def test_no_figure_of_the_line_is_impossible(before: Counters, after: Counters, peak: int, wall: float, line: str) -> None:
    assert used_line(ended(before=before, after=after, peak_bytes=peak), CPU_4, wall_seconds=wall) == line


_COUNTERS = st.builds(
    Counters,
    memory_bytes=st.integers(0, 1 << 49),
    inactive_file_bytes=st.integers(0, 1 << 49),
    peak_bytes=st.integers(0, 1 << 49),
    limit_bytes=st.none() | st.integers(1, 1 << 49),
    cpu_seconds=st.floats(0, 1e9),
)


@settings(max_examples=200)
@given(_COUNTERS, _COUNTERS, st.integers(0, 1 << 49), st.floats(-10, 1e6))
def test_whatever_is_counted_the_line_stays_within_the_limits(
    before: Counters, after: Counters, peak: int, wall: float
) -> None:
    line = used_line(ended(before=before, after=after, peak_bytes=peak), CPU_4, wall_seconds=wall)
    assert "-" not in line
    assert not re.search(r"(?<![\d.])0(\.0+)? (of|s|cores|MiB|GiB)\b", line), line
    for cores in re.findall(r"([\d.]+) of 4 cores", line):
        assert float(cores) <= 4
    for used, limit in re.findall(r"used ([\d.]+) of ([\d.]+) \w+ \(working set\)", line):
        assert float(used) <= float(limit)


def test_the_document_has_no_cpu_time_that_the_limit_does_not_give() -> None:
    end = ended(before=Counters(cpu_seconds=1), after=Counters(cpu_seconds=99), peak_bytes=2 * GIB)
    content = document(end, CPU_4, Job(id=7), variables={}, began=1_750_000_000, ended=1_750_000_010)
    assert content["totals"]["cpu_seconds"] == 40
    assert content["totals"]["memory_working_set_peak_bytes"] == GIB


def written(end: ScriptEnd, job: Job, **variables: str) -> dict[str, Any]:
    return document(end, ATTEMPT, job, variables=variables, began=1_750_000_000, ended=1_750_000_010.5)


def test_the_document_says_what_was_given_and_what_was_used() -> None:
    end = ended(
        before=Counters(cpu_seconds=1, memory_kills=1),
        after=Counters(cpu_seconds=7.5, memory_kills=1, peak_bytes=GIB, memory_bytes=5, inactive_file_bytes=2),
        peak_bytes=900,
    )
    text = written(end, Job(id=7))
    assert (text["started_at"], text["ended_at"]) == ("2025-06-15T15:06:40.000Z", "2025-06-15T15:06:50.500Z")
    assert text["asked"] == {
        "cpu_millicores": 500, "memory_bytes": GIB, "memory_limit_bytes": 2 * GIB, "disk_bytes": 8 * GIB
    }  # fmt: skip
    assert text["totals"] == {
        "wall_seconds": 10.5, "cpu_seconds": 6.5, "memory_working_set_peak_bytes": 900, "memory_peak_bytes": GIB
    }  # fmt: skip
    assert text["memory_kills"] == []
    assert text["reproduce"] == {"image_digest": "debian@sha256:1f"}


def test_the_document_names_the_job_and_the_attempt() -> None:
    job = Job(
        id=7,
        job_info=JobInfo(name="build zlib", pipeline_id=3, project_full_path="grp/proj"),
        git_info=GitInfo(ref="main", protected=True),
        variables=[Variable(key="CI_JOB_URL", value="https://gitlab/7", public=True)],
    )
    assert written(ended(after=Counters()), job, CI_RUNNER_SHORT_TOKEN="abc")["job"] == {
        "id": "7", "name": "build zlib", "url": "https://gitlab/7", "project": "grp/proj", "ref": "main",
        "ref_protected": True, "pipeline_id": "3", "image": "debian:12", "attempt": 2, "runner": "abc", "pod": "job-1-a",
        "node": "node-1",
    }  # fmt: skip


def test_a_script_that_builds_a_package_names_it_and_any_other_is_named_after_its_job() -> None:
    job, end = Job(id=7, job_info=JobInfo(name="lint")), ended(after=Counters())
    package = {"SPACK_JOB_SPEC_PKG_NAME": "zlib", "SPACK_JOB_SPEC_PKG_VERSION": "1.3"}
    assert written(end, job, **package)["spec"] == {"name": "zlib", "version": "1.3"}
    assert written(end, job)["spec"] == {"name": "lint", "version": ""}
    whole = {
        "SPACK_JOB_SPEC_DAG_HASH": "abc", "SPACK_JOB_SPEC_ARCH": "linux-debian12-zen3", "SPACK_BUILD_JOBS": "4",
        "SPACK_JOB_SPEC_COMPILER_NAME": "gcc", "SPACK_JOB_SPEC_COMPILER_VERSION": "13",
        "SPACK_JOB_SPEC_VARIANTS": "+mpi~shared build_system='cmake'",
    }  # fmt: skip
    assert written(end, job, **package, **whole)["spec"] == {
        "name": "zlib", "version": "1.3", "hash": "abc", "architecture": "linux-debian12-zen3", "compiler": "gcc@13",
        "variants": {"mpi": True, "shared": False, "build_system": "cmake"}, "build_jobs": 4,
    }  # fmt: skip


@pytest.mark.parametrize("asked", ["", "many", "-1", "12345", "٣x"])
def test_a_number_of_jobs_that_is_none_is_the_size_table_s(asked: str) -> None:
    job, end = Job(id=7, job_info=JobInfo(name="lint")), ended(after=Counters())
    assert written(end, job, SPACK_BUILD_JOBS=asked)["spec"] == {"name": "lint", "version": ""}


def test_a_memory_kill_has_the_limit_that_the_kernel_reports_or_else_the_one_that_was_given() -> None:
    killed = Counters(memory_kills=2)
    kills = written(ended(after=killed), Job(id=7))["memory_kills"]
    assert kills == [{"process": None, "inferred": True, "limit_bytes": 2 * GIB, "at_seconds": 10.5}] * 2
    (kill, _) = written(ended(after=Counters(memory_kills=2, limit_bytes=GIB)), Job(id=7))["memory_kills"]
    assert kill["limit_bytes"] == GIB
