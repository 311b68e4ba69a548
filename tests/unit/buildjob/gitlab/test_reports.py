"""What GitLab reads beside the log: `annotations.json` by its schema, `junit.xml` by a parser of others."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest

from buildjob.gitlab import annotations, files, junit
from buildjob.outcome import Outcome
from buildjob.run_folder import LOG, LOG_PAGE, PAGE, RunResult
from buildjob.telemetry import FirstError, PackageSpec
from tests.labs.telemetry_samples import sample

JOB = "https://gitlab.site/g/p/-/jobs/17"
# GitLab's app/validators/json_schemas: ci_job_annotation_data.json with ci_job_external_link_data.json in its place.
SECTION = {
    "type": "array",
    "maxItems": 1000,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "external_link": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"label": {"type": "string"}, "url": {"type": "string"}},
            }
        },
    },
}
SCHEMA = {"type": "object", "additionalProperties": SECTION}


def run(folder: Path, outcome: Outcome = Outcome.BUILT, name: str = "zlib", **changes: Any) -> RunResult:
    where = folder / f"{name}-1.3"
    where.mkdir(parents=True, exist_ok=True)
    (where / PAGE).touch()
    (where / LOG).touch()
    (where / LOG_PAGE).touch()
    document = sample(
        outcome=outcome.value, spec=PackageSpec(name=name, version="1.3", hash="abcdefghij"), **changes
    )  # fmt: skip
    return RunResult(folder=where, telemetry=document, command=name, is_root=True)


def variables(project: Path) -> dict[str, str]:
    return {"CI_JOB_URL": JOB, "CI_PROJECT_DIR": str(project)}


def links(content: bytes | None) -> list[tuple[str, str]]:
    assert content is not None
    document = json.loads(content)
    jsonschema.validate(document, SCHEMA)
    return [(one["external_link"]["label"], one["external_link"]["url"]) for many in document.values() for one in many]


def test_each_page_is_linked_and_what_failed_comes_first(tmp_path: Path) -> None:
    results = [run(tmp_path / "out"), run(tmp_path / "out", Outcome.BUILD_FAILED, "hdf5")]
    found = links(annotations.merged(b"", results, variables(tmp_path)))
    assert found == [
        ("hdf5@1.3 /abcdefg: build_failed", f"{JOB}/artifacts/file/out/hdf5-1.3/report.html"),
        ("hdf5@1.3 /abcdefg: build_failed, errors in the log", f"{JOB}/artifacts/file/out/hdf5-1.3/log.html"),
        ("hdf5@1.3 /abcdefg: build_failed, build.log", f"{JOB}/artifacts/file/out/hdf5-1.3/build.log"),
        ("zlib@1.3 /abcdefg: built", f"{JOB}/artifacts/file/out/zlib-1.3/report.html"),
    ]


def test_what_is_not_there_is_not_linked(tmp_path: Path) -> None:
    result = run(tmp_path, Outcome.BUILD_FAILED)
    (result.folder / LOG_PAGE).unlink()
    assert [Path(url).name for _, url in links(annotations.merged(b"", [result], variables(tmp_path)))] == [PAGE, LOG]


@pytest.mark.parametrize(
    "missing",
    [{"CI_JOB_URL": ""}, {"CI_PROJECT_DIR": ""}, {"CI_PROJECT_DIR": "/elsewhere"}, {"CI_JOB_URL": "javascript:alert(1)"}],
)
def test_without_a_page_of_a_job_there_are_no_links(missing: dict[str, str], tmp_path: Path) -> None:
    assert annotations.merged(b"", [run(tmp_path)], variables(tmp_path) | missing) is None


def test_later_calls_of_a_job_add_their_links_and_other_jobs_are_forgotten(tmp_path: Path) -> None:
    first = annotations.merged(b"", [run(tmp_path)], variables(tmp_path))
    assert first is not None
    both = links(annotations.merged(first, [run(tmp_path, name="hdf5")], variables(tmp_path)))
    assert [label.partition("@")[0] for label, _ in both] == ["hdf5", "zlib"]
    other = variables(tmp_path) | {"CI_JOB_URL": JOB.replace("17", "18")}
    assert [label.partition("@")[0] for label, _ in links(annotations.merged(first, [run(tmp_path)], other))] == ["zlib"]


@pytest.mark.parametrize("earlier", [b"", b"{", b"[]", b'{"a": 3}', b'{"a": [{"external_link": 3}]}', b"\xff", b"null"])
def test_a_file_that_cannot_be_read_counts_as_none(earlier: bytes, tmp_path: Path) -> None:
    assert len(links(annotations.merged(earlier, [run(tmp_path)], variables(tmp_path)))) == 1


def test_many_packages_stay_within_what_gitlab_takes(tmp_path: Path) -> None:
    results = [run(tmp_path, name=f"{'p' * 100}{number}") for number in range(300)]
    content = annotations.merged(b"", results, variables(tmp_path))
    assert content is not None
    assert len(content) < 80_000
    assert 0 < len(links(content)) <= 200


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.BUILT, None),
        (Outcome.ALREADY_THERE, junitparser.Skipped),
        (Outcome.BUILD_FAILED, junitparser.Failure),
        (Outcome.MEMORY_KILLED, junitparser.Failure),
        (Outcome.TIMED_OUT, junitparser.Failure),
        (Outcome.DEPENDENCY_FAILED, junitparser.Error),
        (Outcome.FETCH_FAILED, junitparser.Error),
        (Outcome.PUBLISH_FAILED, junitparser.Error),
    ],
)
def test_the_package_is_a_test_with_its_time_and_its_ending(outcome: Outcome, kind: type | None, tmp_path: Path) -> None:
    content = junit.render(run(tmp_path, outcome, memory_kills=[]))
    (suite,) = junitparser.JUnitXml.fromstring(content)
    (case,) = suite
    assert (case.name, case.classname) == ("zlib@1.3 /abcdefg", "zlib")
    assert case.time == pytest.approx(sample().totals.wall_seconds, abs=0.001)
    assert [type(one) for one in case.result] == ([kind] if kind else [])


def test_the_first_error_is_in_the_failure_and_hostile_text_stays_text(tmp_path: Path) -> None:
    error = FirstError(line=12, text="a.c:1: error: <x> & ]]> \x00\x1b[31m\ud800", file="a.c:1", phase="install")
    content = junit.render(run(tmp_path, Outcome.BUILD_FAILED, name='a"<b', first_error=error))
    (suite,) = junitparser.JUnitXml.fromstring(content)
    (case,) = suite
    assert case.classname == 'a"<b'
    assert "build.log:12: a.c:1: error: <x> & ]]>" in case.result[0].text


def test_files_are_written_once_and_a_fault_is_a_sentence(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert files.write([result], tmp_path, variables(tmp_path)) == []
    before = (result.folder / "junit.xml").read_bytes()
    assert links((tmp_path / "annotations.json").read_bytes())
    assert files.write([run(tmp_path, Outcome.ALREADY_THERE)], tmp_path, {}) == []
    assert (result.folder / "junit.xml").read_bytes() == before
    (fault,) = files.write(
        [RunResult(folder=tmp_path / "gone", telemetry=sample(), command="x", is_root=True)], tmp_path, {}
    )
    assert "gone/junit.xml could not be written" in fault
