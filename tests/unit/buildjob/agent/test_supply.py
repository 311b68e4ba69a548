"""What is published with a package, so that the build cache can serve it."""

import pytest

from buildjob.agent.supply import Supply, run_time_dependencies, shortened
from buildjob.spack.concrete import ConcreteSpec, Edge, Origin

BUILT, MIRROR, NONE = Origin(kind="built"), Origin(kind="mirror"), Origin(kind="none", reason="its origin is unknown")


def spec(name: str, *dependencies: str, external: bool = False) -> ConcreteSpec:
    """A spec named like its hash; dependencies as `name` (link) or `name:build,run`."""
    edges = [dependency.partition(":") for dependency in dependencies]
    return ConcreteSpec(
        hash=name, name=name, version="1", spec_file=f"/{name}", prefix="", stage_name="",
        external=external, installed=True, binary="",
        architecture="", compiler="", variants={},
        dependencies=[Edge(name=d, version="1", hash=d, types=(kind or "link").split(",")) for d, _, kind in edges],
    )  # fmt: skip


# fmt: off
GRAPHS = {
    "link and run count, all the way down": (
        [spec("z"), spec("lib", "z"), spec("app", "lib:build,run")], ["z", "lib"],
    ),
    "what is only needed to build or to test does not": (
        [spec("cmake"), spec("check"), spec("app", "cmake:build", "check:test,build")], [],
    ),
    "nor does what that needs": ([spec("ncurses"), spec("cmake", "ncurses"), spec("app", "cmake:build")], []),
    "externals and what they need are the machine's": (
        [spec("z"), spec("gcc", "z", external=True), spec("app", "gcc:build,link,run")], [],
    ),
    "a diamond counts once": (
        [spec("z"), spec("a", "z"), spec("b", "z"), spec("app", "a", "b")], ["z", "b", "a"],
    ),
    "a package alone": ([spec("app")], []),
}
# fmt: on


@pytest.mark.parametrize("case", GRAPHS)
def test_what_a_package_needs_at_run_time(case: str) -> None:
    specs, expected = GRAPHS[case]
    by_hash = {each.hash: each for each in specs}
    assert [each.name for each in run_time_dependencies(by_hash["app"], by_hash)] == expected


def test_a_chain_of_ten_thousand_needs_no_stack() -> None:
    chain = [spec("0"), *(spec(str(number), str(number - 1)) for number in range(1, 10_000))]
    by_hash = {each.hash: each for each in chain}
    assert len(run_time_dependencies(chain[-1], by_hash)) == 9_999


APP = spec("app", "a", "b", "c", "d", "e:build")
SPECS = [*(spec(name) for name in "abcde"), APP]


def test_each_dependency_is_packed_copied_lacking_or_there() -> None:
    supply = Supply(SPECS, there="d")
    assert [each.name for each in supply.missing([APP])] == ["c", "b", "a"]
    supply.learn({"a": BUILT, "b": MIRROR, "c": NONE})
    needs = supply.needs(APP)
    assert ([each.name for each in needs.pack], [each.name for each in needs.copy]) == (["a"], ["b"])
    assert needs.lacking == {"c@1/c": "its origin is unknown"}
    fault = supply.fault(APP, "s3://m")
    assert (
        "app@1/app needs at run time what s3://m lacks and what can't be signed here (c@1/c: its origin is unknown)" in fault
    )
    assert "--allow-missing" in fault


def test_what_is_published_once_is_there_for_the_next_package() -> None:
    supply = Supply(SPECS)
    supply.learn(dict.fromkeys("abcd", BUILT))
    supply.published("abcd")
    assert supply.needs(APP).pack == []
    assert supply.fault(APP, "m") == ""


def test_what_is_to_be_built_is_published_before() -> None:
    supply = Supply(SPECS, there="abc")
    assert supply.fault(APP, "m", built="d") == ""
    assert "d@1/d: it was not built" in supply.fault(APP, "m")


def test_a_dependency_whose_own_publishing_failed_is_lacking() -> None:
    supply = Supply(SPECS, there="abc")
    supply.failed("d")
    assert supply.needs(APP).lacking == {"d@1/d": "its own publishing failed"}


def test_what_must_not_be_redistributed_is_left_out_and_no_fault() -> None:
    supply = Supply(SPECS, there="abc")
    supply.learn({"d": NONE}, not_redistributable="d")
    needs = supply.needs(APP)
    assert (needs.pack, needs.lacking, [each.name for each in needs.left_out]) == ([], {}, ["d"])
    assert supply.missing([APP]) == []


def test_a_fault_groups_its_reasons_and_has_a_bounded_length() -> None:
    many = [spec(f"dependency-{number:04}") for number in range(1_000)]
    app = spec("app", *(each.name for each in many))
    supply = Supply([*many, app])
    supply.learn({each.hash: NONE for each in many})
    fault = supply.fault(app, "m")
    assert fault.count("its origin is unknown") == 1
    assert "and 995 more" in fault
    assert len(fault) < 600


def test_titles_are_shortened() -> None:
    assert shortened("abcde") == "a, b, c, d, e"
    assert shortened("abcdef") == "a, b, c, d, e and 1 more"


def test_what_is_damaged_in_the_target_counts_as_missing() -> None:
    supply = Supply(SPECS, there="abcd")
    supply.damaged("b")
    supply.learn({"b": MIRROR})
    assert [each.name for each in supply.needs(APP).brought] == ["b"]


def test_a_package_of_this_call_is_built_unless_something_else_is_known_of_it() -> None:
    supply = Supply(SPECS)
    assert supply.origin(APP) == BUILT
    assert not supply.must_stay(APP)
    supply.learn({"app": NONE}, not_redistributable=["app"])
    assert supply.origin(APP) == NONE
    assert supply.must_stay(APP)
