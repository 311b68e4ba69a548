"""Which packages are fetched and which are built, in which order."""

import msgspec
import pytest

from buildjob.agent.schedule import schedule
from buildjob.spack.concrete import ConcreteSpec, Edge


def spec(name: str, *dependencies: str, **changes: object) -> ConcreteSpec:
    """A spec named like its hash; dependencies as `name` (link) or `name:build` or `name:build,test`."""
    edges = [dependency.partition(":") for dependency in dependencies]
    made = ConcreteSpec(
        hash=name, name=name, version="1", spec_file=f"/{name}", prefix=f"/opt/{name}", stage_name=f"stage-{name}",
        external=False, installed=False, binary="", architecture="", compiler="", variants={},
        dependencies=[Edge(name=d, version="1", hash=d, types=(kind or "link").split(",")) for d, _, kind in edges],
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


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
    "what only tests need is left alone": (
        [spec("check"), spec("lib", "check:test"), spec("app", "lib", "check:test")], ["app"], [], ["lib", "app"],
    ),
    "what tests need and the build too is built": (
        [spec("check"), spec("app", "check:build,test")], ["app"], [], ["check", "app"],
    ),
    "what only tests need is not even fetched": (
        [spec("check", binary="available"), spec("app", "check:test")], ["app"], [], ["app"],
    ),
    "a test dependency that is asked for is built": ([spec("check"), spec("app", "check:test")], ["check"], [], ["check"]),
    "changed sources of a developer are built again, and what uses them": (
        [spec("z", installed=True), spec("lib", "z", installed=True, outdated=True, develop_folders=["/src"]),
         spec("app", "lib", installed=True, outdated=True, develop_folders=["/src"])],
        ["app"], [], ["lib", "app"],
    ),
}
LATE = {
    "a cached package over a built one": (
        [spec("z"), spec("lib", "z", binary="available"), spec("app", "lib")], {"app": ["lib"]}, [], ["z", "app"],
    ),
    "a cached package over a cached one over a built one": (
        [spec("z"), spec("y", "z", binary="available"), spec("lib", "y:run", binary="available"), spec("app", "lib")],
        {"app": ["y", "lib"]}, [], ["z", "app"],
    ),
    "what can be fetched at once is": (
        [spec("z"), spec("y", binary="available"), spec("lib", "z", "y", binary="available"), spec("app", "lib")],
        {"app": ["lib"]}, ["y"], ["z", "app"],
    ),
    "the next build comes after it, whether it needs it or not": (
        [spec("z"), spec("lib", "z", binary="available"), spec("tool"), spec("app", "lib", "tool:build")],
        {"tool": ["lib"]}, [], ["z", "tool", "app"],
    ),
    "a built build dependency of a cached package does not matter": (
        [spec("tool"), spec("lib", "tool:build", binary="available"), spec("app", "lib", "tool:build")],
        {}, ["lib"], ["tool", "app"],
    ),
    "twice": (
        [spec("z"), spec("y", "z", binary="available"), spec("m", "y"), spec("lib", "m", binary="available"),
         spec("app", "lib")],
        {"m": ["y"], "app": ["lib"]}, [], ["z", "m", "app"],
    ),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_the_schedule_of_a_graph(case: str) -> None:
    specs, roots, fetched, built = CASES[case]
    work = schedule(specs, roots)
    assert names(work.fetch) == fetched
    assert names(work.build) == built


@pytest.mark.parametrize("case", LATE)
def test_what_needs_a_build_is_fetched_after_it(case: str) -> None:
    specs, fetched_before, fetched, built = LATE[case]
    work = schedule(specs, ["app"])
    assert {before: names(late) for before, late in work.fetch_before.items()} == fetched_before
    assert names(work.fetch) == fetched
    assert names(work.build) == built
    assert sorted(names(work.fetched)) == sorted([*fetched, *(name for late in fetched_before.values() for name in late)])


def test_an_installed_root_is_only_published() -> None:
    work = schedule([spec("app", installed=True)], ["app"])
    assert names(work.publish_only) == ["app"]
    assert work.build == []


def test_a_published_root_needs_nothing_at_all() -> None:
    work = schedule([spec("lib"), spec("app", "lib")], ["app"], published=frozenset({"app"}))
    assert (names(work.nothing), work.build, work.fetch) == (["app"], [], [])


def test_a_published_root_from_a_developers_folder_is_built_unless_it_is_installed_as_the_folder_is() -> None:
    """The hash does not say what the folder holds: the build cache may have another state of it."""
    published = frozenset({"app"})
    folder = ["/src"]
    assert names(schedule([spec("app", develop_folders=folder)], ["app"], published=published).build) == ["app"]
    changed = spec("app", develop_folders=folder, installed=True, outdated=True)
    assert names(schedule([changed], ["app"], published=published).build) == ["app"]
    same = spec("app", develop_folders=folder, installed=True)
    assert names(schedule([same], ["app"], published=published).nothing) == ["app"]
