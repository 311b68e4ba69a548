import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.job import Job, JobInfo
from executor.names import history_name, is_key, job_labels, label_value, pod_name

TEXTS = st.text(max_size=300)
LABEL = re.compile(r"(([A-Za-z0-9][A-Za-z0-9_.-]{0,61})?[A-Za-z0-9])?")
DNS = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@given(TEXTS)
def test_any_text_becomes_a_labels_value(text: str) -> None:
    assert LABEL.fullmatch(label_value(text))


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=1, max_size=63))
def test_what_is_a_labels_value_stays_as_it_is(text: str) -> None:
    assert label_value(text) == text


@given(TEXTS, st.integers(min_value=1, max_value=10**12), TEXTS)
def test_a_pods_name_is_valid_and_depends_on_each_part(runner: str, job_id: int, attempt: str) -> None:
    name = pod_name(runner=runner, job_id=job_id, attempt=attempt)
    assert DNS.fullmatch(name)
    assert name == pod_name(runner=runner, job_id=job_id, attempt=attempt)
    others = {
        pod_name(runner=f"{runner}x", job_id=job_id, attempt=attempt),
        pod_name(runner=runner, job_id=job_id + 1, attempt=attempt),
        pod_name(runner=runner, job_id=job_id, attempt=f"{attempt}x"),
    }
    assert name not in others


def test_a_retry_finds_the_history_of_the_same_job() -> None:
    info = JobInfo(name="build", pipeline_id=3, project_id=4)
    assert history_name(Job(id=1, job_info=info)) == history_name(Job(id=2, job_info=info))
    for other in (JobInfo(name="test", pipeline_id=3, project_id=4), JobInfo(name="build", pipeline_id=4, project_id=4)):
        assert history_name(Job(id=1, job_info=other)) != history_name(Job(id=1, job_info=info))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("team", True), ("example.com/team", True), ("a.b-c_d", True), ("x" * 63, True), ("x" * 64, False), ("", False),
        ("-a", False), ("a-", False), ("A.com/a", False), ("/a", True), ("a/b/c", False), (f"{'x' * 254}/a", False),
        ("a\n", False), ("ä", False),
    ],
)  # fmt: skip
def test_keys_of_labels_are_recognized(text: str, valid: bool) -> None:  # noqa: FBT001 (a column of the table)
    assert is_key(text) is valid


@given(TEXTS, TEXTS)
def test_a_jobs_labels_are_valid_whatever_its_project_is_called(project: str, runner: str) -> None:
    labels = job_labels(Job(id=1, job_info=JobInfo(project_full_path=project)), runner=runner, attempt="a")
    assert all(is_key(key) and LABEL.fullmatch(value) for key, value in labels.items())
