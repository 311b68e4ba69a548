"""How far a pipeline has come, by what was seen of its pods."""

import json
from collections.abc import Iterable

import pytest

from autoscaler.lookahead.progress import GraphObject, JobObject, Progress, SizeObject, manifest_path, read_graph
from tests.labs.checkout import ROOT

SIZE = SizeObject(cpu_millicores=1000, memory_bytes=1 << 30)


def progress(**needs: str) -> Progress:
    """Return a pipeline's: job -> the jobs that it needs, letters."""
    jobs = tuple(JobObject(key=key, name=key, version="1", needs=tuple(some), size=SIZE) for key, some in needs.items())
    return Progress("d", GraphObject(version=1, jobs=jobs))


def state(one: Progress) -> tuple[str, str]:
    graph = one.graph()
    return joined(graph.done), joined(graph.unknown)


def joined(keys: Iterable[str]) -> str:
    return "".join(sorted(keys))


CHAIN = {"a": "", "b": "a", "c": "b", "d": "c"}


def test_before_anything_was_seen_only_the_mirror_can_tell() -> None:
    one = progress(**CHAIN)
    assert state(one) == ("", "abcd")
    assert [job.key for job in one.questions()] == ["a"]
    one.mirror_said("a", has=False)
    assert state(one) == ("", "")


def test_a_pod_shows_that_all_before_it_is_done() -> None:
    one = progress(**CHAIN)
    one.pod_seen("c", "1")
    assert state(one) == ("ab", "")
    assert one.questions() == []


def test_a_job_that_succeeded_lets_the_next_one_come() -> None:
    one = progress(**CHAIN)
    one.pod_seen("a", "1")
    one.pod_ended("a", "1", "script_succeeded")
    assert state(one) == ("a", "bcd"), "b may have ended unseen"
    assert [job.key for job in one.questions()] == ["b"]
    one.mirror_said("b", has=False)
    assert state(one) == ("a", "")


def test_behind_a_job_that_failed_nothing_comes() -> None:
    one = progress(**CHAIN, x="")
    one.mirror_said("x", has=False)
    one.pod_seen("b", "1")
    one.pod_ended("b", "1", "script_failed")
    assert state(one) == ("ab", "cd")


def test_a_further_attempt_makes_it_open_again() -> None:
    one = progress(**CHAIN)
    one.pod_seen("b", "1")
    one.pod_ended("b", "1", "script_failed")
    one.pod_seen("b", "2")
    assert state(one) == ("a", "")
    one.pod_ended("b", "2", "script_succeeded")
    one.mirror_said("c", has=False)
    assert state(one) == ("ab", "")


def test_a_pod_that_went_without_a_word_is_unknown_until_the_mirror_says_otherwise() -> None:
    one = progress(**CHAIN)
    one.pod_seen("b", "1")
    one.pod_ended("b", "1", "")
    assert state(one) == ("a", "bcd")
    assert [job.key for job in one.questions()] == ["b"]
    one.mirror_said("b", has=True)
    one.mirror_said("c", has=False)
    assert state(one) == ("ab", "")


def test_two_pods_of_one_job_are_one_until_both_have_ended() -> None:
    one = progress(a="", b="a")
    one.pod_seen("a", "1")
    one.pod_seen("a", "2")
    one.pod_ended("a", "1", "interrupted")
    assert state(one) == ("", "")


def test_a_job_of_no_known_size_gives_no_look_ahead() -> None:
    jobs = (JobObject(key="a", size=SizeObject()), JobObject(key="b", size=SIZE))
    one = Progress("d", GraphObject(version=1, jobs=jobs))
    one.mirror_said("a", has=False)
    one.mirror_said("b", has=False)
    assert state(one) == ("", "a")


def test_what_is_pruned_is_no_job_and_a_stranger_is_none_either() -> None:
    jobs = (JobObject(key="a", size=SIZE, state="pruned"), JobObject(key="b", needs=("a", "z"), size=SIZE))
    one = Progress("d", GraphObject(version=1, jobs=jobs))
    one.pod_seen("unheard-of", "1")
    one.mirror_said("b", has=False)
    assert [job.key for job in one.graph().jobs] == ["b"]
    assert state(one) == ("", "")


def test_a_circle_ends() -> None:
    one = progress(a="b", b="a", c="a")
    one.pod_seen("c", "1")
    assert state(one) == ("ab", "")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 2}', b'{"version": 1, "jobs": 3}', b"[" * 100_000])
def test_what_is_no_job_graph_of_version_1_is_none(content: bytes) -> None:
    assert read_graph(content) is None


def test_the_shipped_sample_is_read() -> None:
    content = (ROOT / "tests/data/job_graph/sample.json").read_bytes()
    found = read_graph(content)
    assert found is not None
    assert len(found.jobs) == len(json.loads(content)["jobs"])
    assert manifest_path(found.jobs[0]).startswith(f"v3/manifests/spec/{found.jobs[0].name}/{found.jobs[0].name}-")
