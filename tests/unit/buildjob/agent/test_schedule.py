"""Which packages are fetched and which are built, in which order."""

import pytest

from buildjob.agent.schedule import blocked_by, schedule
from buildjob.spack.concrete import ConcreteSpec, Edge


def spec(name: str, *dependencies: str, external: bool = False, installed: bool = False, binary: str = "") -> ConcreteSpec:
    """A spec named like its hash; dependencies as `name` (link) or `name:build`."""
    edges = [dependency.partition(":") for dependency in dependencies]
    return ConcreteSpec(
        hash=name, name=name, version="1", spec_file=f"/{name}", prefix=f"/opt/{name}", external=external,
        installed=installed, binary=binary, architecture="", compiler="", variants={},
        dependencies=[Edge(name=d, version="1", hash=d, types=[kind or "link"]) for d, _, kind in edges],
    )  # fmt: skip


def names(specs: list[ConcreteSpec]) -> list[str]:
    return [one.name for one in specs]


# fmt: off
CASES = {
    "dependencies are built first": (
        [spec("gcc", external=True), spec("lib", "gcc:build"), spec("app", "lib", "gcc:build")], ["app"], [], ["lib", "app"],
    ),
    "what is installed is not built": ([spec("lib", installed=True), spec("app", "lib")], ["app"], [], ["app"]),
    "a dependency comes from the build cache": (
        [spec("lib", binary="available"), spec("app", "lib")], ["app"], ["lib"], ["app"],
    ),
    "what comes from the build cache needs no build dependencies": (
        [spec("cmake"), spec("z", binary="available"), spec("lib", "cmake:build", "z", binary="available"),
         spec("app", "lib")],
        ["app"], ["z", "lib"], ["app"],
    ),
    "an untrusted binary is built": ([spec("lib", binary="untrusted"), spec("app", "lib")], ["app"], [], ["lib", "app"]),
    "a root is built although a build cache has it": ([spec("app", binary="available")], ["app"], [], ["app"]),
    "a root that another root needs is built, not fetched": (
        [spec("lib", binary="available"), spec("app", "lib")], ["app", "lib"], [], ["lib", "app"],
    ),
    "a diamond is built once": (
        [spec("z"), spec("a", "z"), spec("b", "z"), spec("app", "a", "b")], ["app"], [], ["z", "a", "b", "app"],
    ),
    "what two need from the build cache is fetched once": (
        [spec("z", binary="available"), spec("a", "z"), spec("app", "a", "z")], ["app"], ["z"], ["a", "app"],
    ),
    "a cached package over a built one": (
        [spec("z"), spec("lib", "z", binary="available"), spec("app", "lib")], ["app"], ["lib"], ["z", "app"],
    ),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_the_schedule_of_a_graph(case: str) -> None:
    specs, roots, fetched, built = CASES[case]
    work = schedule(specs, roots)
    assert names(work.fetch) == fetched
    assert names(work.build) == built


def test_an_installed_root_is_only_published() -> None:
    work = schedule([spec("app", installed=True)], ["app"])
    assert names(work.publish_only) == ["app"]
    assert work.build == []


def test_a_published_root_needs_nothing_at_all() -> None:
    work = schedule([spec("lib"), spec("app", "lib")], ["app"], published=frozenset({"app"}))
    assert (names(work.nothing), work.build, work.fetch) == (["app"], [], [])


def test_a_spec_is_blocked_by_its_failed_dependencies_only() -> None:
    assert blocked_by(spec("app", "a", "b"), {"b", "x"}) == ["b"]
