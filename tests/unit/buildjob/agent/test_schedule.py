"""Which packages are fetched and which are built, in which order."""

import pytest

from buildjob.agent.schedule import blocked_by, schedule
from buildjob.spack.concrete import Edge, Node


def node(name: str, *dependencies: str, external: bool = False, installed: bool = False, binary: str = "") -> Node:
    """A node named like its hash; dependencies as `name` (link) or `name:build`."""
    edges = [dependency.partition(":") for dependency in dependencies]
    return Node(
        hash=name, name=name, version="1", namespace="n", spec_file=f"/{name}", prefix=f"/opt/{name}", external=external,
        installed=installed, binary=binary, architecture="", compiler="", variants={},
        dependencies=[Edge(name=d, version="1", hash=d, types=[kind or "link"]) for d, _, kind in edges],
    )  # fmt: skip


def names(nodes: list[Node]) -> list[str]:
    return [one.name for one in nodes]


# fmt: off
CASES = {
    "dependencies are built first": (
        [node("gcc", external=True), node("lib", "gcc:build"), node("app", "lib", "gcc:build")], ["app"], [], ["lib", "app"],
    ),
    "what is installed is not built": ([node("lib", installed=True), node("app", "lib")], ["app"], [], ["app"]),
    "a dependency comes from the build cache": (
        [node("lib", binary="available"), node("app", "lib")], ["app"], ["lib"], ["app"],
    ),
    "what comes from the build cache needs no build dependencies": (
        [node("cmake"), node("z", binary="available"), node("lib", "cmake:build", "z", binary="available"),
         node("app", "lib")],
        ["app"], ["z", "lib"], ["app"],
    ),
    "an untrusted binary is built": ([node("lib", binary="untrusted"), node("app", "lib")], ["app"], [], ["lib", "app"]),
    "a root is built although a build cache has it": ([node("app", binary="available")], ["app"], [], ["app"]),
    "a root that another root needs is built, not fetched": (
        [node("lib", binary="available"), node("app", "lib")], ["app", "lib"], [], ["lib", "app"],
    ),
    "a diamond is built once": (
        [node("z"), node("a", "z"), node("b", "z"), node("app", "a", "b")], ["app"], [], ["z", "a", "b", "app"],
    ),
    "a cached package over a built one": (
        [node("z"), node("lib", "z", binary="available"), node("app", "lib")], ["app"], ["lib"], ["z", "app"],
    ),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_the_schedule_of_a_graph(case: str) -> None:
    nodes, roots, fetched, built = CASES[case]
    work = schedule(nodes, roots)
    assert names(work.fetch) == fetched
    assert names(work.build) == built


def test_an_installed_root_is_only_published() -> None:
    work = schedule([node("app", installed=True)], ["app"])
    assert names(work.installed) == ["app"]
    assert work.build == []


def test_a_root_on_the_mirror_needs_nothing_at_all() -> None:
    work = schedule([node("lib"), node("app", "lib")], ["app"], on_mirror=frozenset({"app"}))
    assert (names(work.there), work.build, work.fetch) == (["app"], [], [])


def test_a_node_is_blocked_by_its_failed_dependencies_only() -> None:
    assert blocked_by(node("app", "a", "b"), {"b", "x"}) == ["b"]
