"""Which failure is at the root of what could not be built."""

from pathlib import Path
from typing import Any

import pytest

from buildjob.agent.failures import Failures, missing_dependencies
from buildjob.outcome import Outcome
from buildjob.run_folder import RunResult
from buildjob.spack.concrete import ConcreteSpec, Edge
from buildjob.telemetry import FailedDependency
from tests.labs.telemetry_samples import sample


def _spec(name: str, *needs: str) -> ConcreteSpec:
    edges = [Edge(name=need, version="1", hash=need, types=["link"]) for need in needs]
    return ConcreteSpec(
        hash=name, name=name, version="1", spec_file="", prefix="", stage_name="", external=False, installed=False,
        binary="", architecture="", compiler="", variants={}, dependencies=edges,
    )  # fmt: skip


def _result(name: str, outcome: Outcome, **changes: Any) -> RunResult:
    document = sample(outcome=outcome.value, **changes)
    return RunResult(folder=Path("/out") / f"{name}-1-{name}", telemetry=document, command="", is_root=False)


def test_a_failure_is_its_own_root_with_its_folder_and_first_error() -> None:
    failures = Failures()
    result = _result("a", Outcome.BUILD_FAILED)
    failures.add(_spec("a"), result)
    (root,) = failures.roots(_spec("b", "a").build_needs)
    assert (root.name, root.outcome, root.run_folder) == ("a", "build_failed", "a-1-a")
    assert root.first_error == result.telemetry.first_error


@pytest.mark.parametrize("length", [1, 2, 30])
def test_the_root_of_a_chain_is_named_however_long_it_is(length: int) -> None:
    failures = Failures()
    failures.add(_spec("0"), _result("0", Outcome.MEMORY_KILLED))
    for number in range(1, length):
        spec = _spec(str(number), str(number - 1))
        failures.add(
            spec,
            _result(spec.name, Outcome.DEPENDENCY_FAILED, failed_dependencies=failures.roots(spec.build_needs)),
        )
    assert [root.name for root in failures.roots(_spec("z", str(length - 1)).build_needs)] == ["0"]


def test_a_root_that_is_reached_twice_counts_once_and_several_are_all_named() -> None:
    failures = Failures()
    failures.add(_spec("a"), _result("a", Outcome.BUILD_FAILED))
    failures.add(_spec("x"), _result("x", Outcome.FETCH_FAILED))
    failures.add_unfetched(_spec("b", "a"))
    failures.add_unfetched(_spec("c", "a", "x"))
    assert "b" in failures
    assert "z" not in failures
    assert [root.name for root in failures.roots(_spec("d", "b", "c", "z").build_needs)] == ["a", "x"]
    assert failures.roots(_spec("e", "z").build_needs) == []


def test_what_is_missing_without_a_run_is_said_to_be() -> None:
    assert missing_dependencies([_spec("a")]) == [FailedDependency(name="a", version="1", hash="a", outcome="missing")]
