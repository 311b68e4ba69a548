import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.job import Job, JobInfo
from executor.names import graph_labels, history_name, is_key, job_labels, label_value, outcome_of, pod_name

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


DIGEST, KEY = "a2" * 26, "x7" * 16


@pytest.mark.parametrize(
    ("graph", "job", "tied"),
    [
        (DIGEST, KEY, True),
        (DIGEST, KEY[:7], True),
        (DIGEST, "", False),  # a pod that is tied to a graph is tied to a job of it
        ("", KEY, False),
        (DIGEST.upper(), KEY, False),
        (DIGEST, "a" * 64, False),
        (f"{DIGEST}\n", KEY, False),
        (DIGEST, "$(reboot)", False),
        (DIGEST, "0189abcdef", False),
    ],
)
def test_a_pod_is_tied_to_a_job_graph_by_two_sound_keys(graph: str, job: str, tied: bool) -> None:  # noqa: FBT001 (a column)
    expected = {"spack-farm.io/graph": graph, "spack-farm.io/graph-job": job} if tied else {}
    assert graph_labels({"SPACK_FARM_GRAPH": graph, "SPACK_FARM_GRAPH_JOB": job, "OTHER": "x"}) == expected
    assert graph_labels({}) == {}


@pytest.mark.parametrize(
    ("job_status", "is_lost", "outcome"),
    [
        ("success", False, "script_succeeded"),
        ("failed", False, "script_failed"),
        ("failed", True, "interrupted"),
        ("canceled", False, "interrupted"),
        ("", False, "interrupted"),
        ("running", False, "interrupted"),
    ],
)
def test_what_became_of_a_job_is_a_word_of_telemetry(job_status: str, is_lost: bool, outcome: str) -> None:  # noqa: FBT001
    assert outcome_of(job_status=job_status, is_lost=is_lost) == outcome
