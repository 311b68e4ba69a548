"""What `report index` prints: counts, what failed and why, and the time of a pipeline, in lines that act on no terminal."""

from typing import Any

import msgspec
import pytest

from buildjob.report.many import text
from buildjob.report.many.entries import Entry, read_entry
from buildjob.report.many.folder import Collection, collected
from buildjob.report.many.timing import pipelines
from tests.labs.made_up_builds import document, encoded, job, pipeline


def _entry(**facts: Any) -> Entry:
    return read_entry(encoded(document(**facts)))


def _lines(collection: Collection) -> list[str]:
    return list(text.lines(collection, pipelines(collection.entries)))


def test_failures_have_their_first_error_and_their_job() -> None:
    error = {"line": 1173, "text": "\x1b[31ma.c:7: error:\x1b[0m b\u202ead"}
    bad = _entry(name="hdf5", version="1.14", outcome="build_failed", first_error=error, job=job(7, pipeline=""))
    needs = [{"name": "hdf5", "version": "1.14", "hash": "h"}]
    left = _entry(name="app", dag_hash="a" * 32, begin=5, outcome="dependency_failed", failed_dependencies=needs)
    assert _lines(collected([left, bad, _entry()], [], left_out=2000)) == [
        "3 builds: 1 dependency failed, 1 build failed, 1 built; 2,000 older ones are left out",
        "failed at their last run:",
        "  hdf5@1.14/hdf5xxx: build failed",
        "    line 1,173: a.c:7: error: b\\u202ead",
        "    https://gitlab.example.org/farm/packages/-/jobs/7",
        "    help: spack-farm build --reproduce https://gitlab.example.org/farm/packages/-/jobs/7 --hash hdf5xxx",
        "  app@1.3.1/aaaaaaa: dependency failed: hdf5@1.14",
    ]


@pytest.mark.parametrize(
    ("place", "folder", "command"),
    [
        ("hdf5-1.14-abc", "out", "spack-farm build --reproduce out/hdf5-1.14-abc"),
        ("a/hdf5-1.14-abc", "my builds/", "spack-farm build --reproduce 'my builds/a/hdf5-1.14-abc'"),
        ("hdf5-1.14-abc", "", ""),  # uploaded telemetry: no folder
        ("", "out", ""),
        ("h\u00e4df5", "out", ""),  # a command with a letter replaced would name something else
        ("h\x1b[31mdf5", "out", ""),
    ],
)
def test_a_failed_run_has_the_command_that_builds_it_again(place: str, folder: str, command: str) -> None:
    bad = msgspec.structs.replace(_entry(name="hdf5", outcome="build_failed"), place=place)
    printed = list(text.lines(collected([bad], []), [], folder=folder))
    assert [line for line in printed if "help:" in line] == ([f"    help: {command}"] if command else [])


def test_a_job_s_script_has_no_command_that_builds_it_again() -> None:
    script = msgspec.structs.replace(_entry(outcome="script_failed", job=job(7, pipeline="")), place="job-7")
    assert not any("help:" in line for line in text.lines(collected([script], []), [], folder="out"))


def test_of_many_failures_the_first_ones_are_printed() -> None:
    made = [_entry(name=f"p{number}", outcome="timed_out", begin=float(number)) for number in range(25)]
    lines = _lines(collected(made, []))
    assert (lines[0], lines[-1], len(lines)) == ("25 builds: 25 timed out", "  and 15 more", 13)
    assert lines[2] == "  p24@1.3.1/p24xxxx: timed out"


def test_no_builds_are_said_to_be_none() -> None:
    assert _lines(Collection(entries=())) == ["0 builds: none"]


def test_the_critical_path_is_a_table_whose_end_is_printed() -> None:
    lines = _lines(collected([read_entry(encoded(made)) for made in pipeline(30)], []))
    assert lines[1] == "where the time went: pipeline 1284410 (farm/packages develop)"
    assert lines[2].startswith("  30 jobs, ")
    assert lines[3].split() == ["critical", "path", "wait", "start", "dependencies", "build", "publish"]
    assert lines[4] == "  10 earlier jobs"
    assert lines[5].startswith("  zlib@2.0  ")
    assert [line.split("  ")[1] for line in lines[-2:]] == ["sum of the path", "sum of all jobs"]
    assert len(lines) == 27
    assert all(line.isascii() and len(line) < 160 for line in lines)


def test_what_is_not_known_is_a_dash() -> None:
    (row,) = [line for line in _lines(collected([_entry(job={"id": "1", "pipeline_id": "7"})], [])) if "zlib" in line]
    assert row.split()[:3] == ["zlib@1.3.1", "-", "-"]
