"""What `explain` says of a job of a job graph: what it needs, and how far that is."""

import pytest

from autoscaler.cli.explain import explained
from autoscaler.deciding.decide import decide
from autoscaler.snapshot import Graph, GraphJob
from tests.labs.autoscaler import NOW, node, pod, policy, snapshot

KEYS = {name: f"{name}{name}"[:2] + "234567abcdefg" for name in ("app", "lib", "cmake", "zlib", "lost", "last", "far")}


def job(name: str, *needs: str, expected_seconds: float | None = None) -> GraphJob:
    needed = tuple(KEYS[one] for one in needs)
    return GraphJob(key=KEYS[name], name=name, needs=needed, expected_seconds=expected_seconds)


GRAPH = Graph(
    digest="d" * 52,
    jobs=(
        job("zlib"),
        job("cmake", "zlib", expected_seconds=600.0),
        job("lib", "zlib"),
        job("lost", "zlib"),
        job("far", "lib"),
        job("app", "zlib", "cmake", "lib", "lost", "far"),
        job("last", "zlib"),
    ),
    done=frozenset({KEYS["zlib"]}),
    unknown=frozenset({KEYS["lost"]}),
)
SEEN = snapshot(
    node("n"),
    pod("runs", node="n", graph=GRAPH.digest, graph_job=KEYS["cmake"], bound_at=NOW - 120),
    pod("waits", 99, 1, graph=GRAPH.digest, graph_job=KEYS["lib"]),
    graphs=(GRAPH,),
)


def said(subject: str) -> list[str]:
    return list(explained(subject, SEEN, decide(SEEN, policy(), NOW), NOW))


def test_what_a_job_without_a_pod_waits_for_is_listed() -> None:
    first, *rest = said("app")
    assert first.startswith("app /ap23456 of the job graph dddddddddddd has no pod yet: of the 5 jobs that it needs, 4 have")
    assert [line.split()[0] for line in rest] == ["cmake", "lib", "lost", "far"]
    assert "runs on n for 120 s, expected to end in 8 min" in rest[0] or "runs on n for 2 min" in rest[0]
    assert "waits for a node: fits_no_type: it asks for 99 cores" in rest[1]
    assert rest[2].endswith("it is not known whether it has ended, or what it needs has failed")
    assert rest[3].endswith("has no pod yet: 1 of the jobs that it needs have not ended")


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("zlib", "has ended"),
        ("last", "all that it needs has ended, so GitLab has not started it yet, or no longer will"),
        ("cmake", "runs on n"),
        ("lib", "waits for"),
        (KEYS["zlib"], "has ended"),
        (KEYS["zlib"][:7], "has ended"),
        (f"/{KEYS['zlib'][:7]}", "has ended"),
    ],
)
def test_a_job_is_named_by_its_package_or_its_hash(subject: str, words: str) -> None:
    assert words in said(subject)[0]


@pytest.mark.parametrize("subject", ["nothing", KEYS["zlib"][:4], ""])
def test_what_is_not_there_has_no_sentence(subject: str) -> None:
    assert said(subject) == []
