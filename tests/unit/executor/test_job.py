import json
from pathlib import Path

import pytest

from executor.errors import SettingsError
from executor.job import Credential, Job, expand, read_job


def test_only_what_is_declared_is_read_and_the_rest_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "response.json"
    document = {"id": 7, "token": "t", "later": {"x": [1]}, "image": {"name": "a", "ports": [], "alias": None}}
    path.write_text(json.dumps(document | {"credentials": None, "services": [], "run": None}))
    job = read_job(path)
    assert (job.id, job.image and job.image.name, job.runner_info.timeout) == (7, "a", 3600)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the job's payload cannot be read"),
        ("[]", "not a job payload"),
        ('{"id": "7"}', "not a job payload: Expected `int`, got `str` - at `$.id`"),
        ("{", "not a job payload"),
    ],
)
def test_what_is_no_payload_is_the_runners_fault(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "response.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as raised:
        read_job(path)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_payload_beyond_any_reason_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "response.json"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(SettingsError, match="larger than 64 MiB"):
        read_job(path)


def test_a_password_is_not_printed() -> None:
    credential = Credential(type="registry", url="registry.example", username="u", password="s3cret")
    assert "s3cret" not in repr(Job(id=1, credentials=[credential]))


@pytest.mark.parametrize("opening", ['{"id":1,"x":' + "[" * 100_000, '{"id":1,"run":' + '{"a":' * 100_000])
def test_a_payload_of_any_depth_is_told_as_none(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "response.json"
    path.write_text(opening)
    with pytest.raises(SettingsError, match="not a job payload"):
        read_job(path)


@pytest.mark.parametrize(
    ("job", "stages"),
    [
        ({"steps": [{"name": "script"}]}, {"build_script", "step_script"}),
        ({"steps": [{"name": "script"}, {"name": "Release"}], "artifacts": None, "cache": []}, {"step_release"}),
        ({"steps": [{"name": "script"}, {"name": "after_script"}, {"name": "release"}]}, {"after_script"}),
        ({"steps": [{"name": "script"}], "cache": [{"key": "a"}]}, {"archive_cache", "archive_cache_on_failure"}),
        (
            {"steps": [{"name": "after_script"}], "cache": [{"key": "a"}], "artifacts": [{"when": "always"}]},
            {"upload_artifacts_on_success", "upload_artifacts_on_failure"},
        ),
        ({}, set()),
        ({"steps": None}, set()),
    ],
)
def test_a_job_tells_which_stage_is_the_last_to_need_its_pod(
    tmp_path: Path, job: dict[str, object], stages: set[str]
) -> None:
    path = tmp_path / "response.json"
    path.write_text(json.dumps({"id": 7} | job))
    assert read_job(path).last_stages == stages


@pytest.mark.parametrize("last", ["", "x", "$", "$A"])
def test_values_that_name_each_other_many_times_are_cut_off(last: str) -> None:
    """Whole, these would take 10^17 steps: any job may set public variables that the operator's templates use."""
    variables = {"A": "$B" * 20_000, "B": "$C" * 20_000, "C": "${D}" * 20_000, "D": "$E" * 20_000, "E": last}
    assert len(expand("<$A>", variables)) <= 16 << 10
    assert len(expand("$A" * 20_000, variables)) <= 16 << 10


def test_a_value_is_taken_up_to_a_length() -> None:
    assert expand("<$A>", {"A": "x" * 100_000}) == "<" + "x" * ((16 << 10) - 1)
