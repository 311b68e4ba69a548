"""The job graph as its readers see it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipelines.errors import NotAccepted
from pipelines.job_graph import LARGEST_BYTES, digest, read

SAMPLE = (Path(__file__).resolve().parents[2] / "data/job_graph/sample.json").read_bytes()


def changed(**keys: Any) -> bytes:
    return msgspec.json.encode(json.loads(SAMPLE) | keys)


def job(key: str, *needs: str, **keys: Any) -> dict[str, Any]:
    return {"key": key, "name": "zlib", "spec": "zlib", "needs": needs, "state": "build", "why": ""} | keys


def test_the_sample_of_a_graph_is_read_whole() -> None:
    graph = read(SAMPLE)
    assert [job.name for job in graph.jobs] == ["gcc", "zlib", "libhello", "hello-app"]
    assert [job.state for job in graph.jobs] == ["external", "pruned", "build", "build"]
    app = graph.by_key()["a" * 32]
    assert app.needs == ("l" * 32,)
    assert app.size.cpu_millicores == 1000


def test_a_digest_depends_on_neither_the_time_nor_itself() -> None:
    document = json.loads(SAMPLE)
    assert digest(document) == document["digest"]
    assert digest(document | {"made_at": "2020-01-01T00:00:00Z", "digest": "x"}) == document["digest"]
    assert digest(document | {"stack": "other"}) != document["digest"]
    assert len(document["digest"]) == 52


def test_keys_of_later_versions_are_ignored() -> None:
    assert read(changed(later=1, jobs=[job("a", colour="blue")])).jobs[0].key == "a"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a job graph"),
        (b"[]", "not a job graph"),
        (b"\xff\xfe", "not a job graph"),
        (b"[" * 100_000, "not a job graph"),
        (b'{"version": 1, "jobs": [{"key": "a"}]}', "not a job graph"),
        (b'{"version": 2}', "has version 2"),
        (changed(jobs=[job("a"), job("a")]), "two jobs with the key a"),
        (changed(jobs=[job("a", "b"), job("b", "a")]), "needs b, which is not among the jobs before it"),
        (changed(jobs=[job("a", "a")]), "needs a, which is not among"),
        (changed(jobs=[job("a", dependencies=["x"])]), "needs x"),
        (changed(jobs=[job("a", state="pruned"), job("b", "a")]), "for which there is no job: it is pruned"),
        (changed(jobs=[job("a", state="lost")]), "not a job graph"),
        (b" " * (LARGEST_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_job_graph_is_rejected_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(NotAccepted, match=reason):
        read(content)
