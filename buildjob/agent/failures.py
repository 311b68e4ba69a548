"""Which packages of a call have failed, and which failure is at the root of a package that could not be built.

Knows how runs ended, not how to run anything.
"""

from collections.abc import Iterable, Sequence

from buildjob import telemetry
from buildjob.outcome import Outcome
from buildjob.run_folder import RunResult
from buildjob.spack.concrete import ConcreteSpec, Edge


class Failures:
    """The packages that failed so far, each with the failures at its root: its own, or those of its dependencies."""

    def __init__(self) -> None:
        self._roots: dict[str, list[telemetry.FailedDependency]] = {}

    def add(self, spec: ConcreteSpec, result: RunResult) -> None:
        """Keep that a run has failed."""
        known = result.telemetry
        is_root = result.outcome is not Outcome.DEPENDENCY_FAILED or not known.failed_dependencies
        self._roots[spec.hash] = [failed_dependency(spec, result)] if is_root else known.failed_dependencies

    def add_unfetched(self, spec: ConcreteSpec) -> None:
        """Keep that a package can't be installed from the build cache, since something that it needs has failed."""
        self._roots[spec.hash] = self.roots(spec.binary_needs)

    def __contains__(self, dag_hash: str) -> bool:
        return dag_hash in self._roots

    def roots(self, needs: Sequence[Edge]) -> list[telemetry.FailedDependency]:
        """Return the failures at the root of the dependencies that failed, each once; empty if none did."""
        found = [root for edge in needs for root in self._roots.get(edge.hash, [])]
        return list({root.hash: root for root in found}.values())


def failed_dependency(spec: ConcreteSpec, result: RunResult) -> telemetry.FailedDependency:
    """Return what dependents have to know of a run that failed."""
    known = result.telemetry
    return telemetry.FailedDependency(
        name=spec.name,
        version=spec.version,
        hash=spec.hash,
        outcome=known.outcome,
        first_error=known.first_error,
        run_folder=result.folder.name,
    )


def missing_dependencies(specs: Iterable[ConcreteSpec]) -> list[telemetry.FailedDependency]:
    """Return what dependents have to know of packages that no run of this call was for, and that are not installed."""
    return [
        telemetry.FailedDependency(name=spec.name, version=spec.version, hash=spec.hash, outcome=telemetry.MISSING)
        for spec in specs
    ]
