"""Whether a pod may run on a node by labels and taints. Pure.

Source: the plugins nodeaffinity and tainttoleration of Kubernetes' scheduler.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from autoscaler.snapshot import Requirement, Taint, Toleration


class Constraints(NamedTuple):
    """What a pod asks of a node besides room; pods with equal constraints are matched once."""

    selector: tuple[tuple[str, str], ...] = ()
    """Labels that must be there, sorted."""
    affinity: tuple[tuple[Requirement, ...], ...] = ()
    """One of these lists must hold; empty asks for nothing."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that are tolerated."""


NONE = Constraints()


def constraints_of(
    selector: Mapping[str, str], affinity: tuple[tuple[Requirement, ...], ...], tolerations: tuple[Toleration, ...]
) -> Constraints:
    """Return the constraints of a pod."""
    if not (selector or affinity or tolerations):
        return NONE
    return Constraints(tuple(sorted(selector.items())), affinity, tolerations)


def selects(wanted: Constraints, labels: Mapping[str, str]) -> bool:
    """Return whether labels fulfill a selector and an affinity."""
    if any(labels.get(key) != value for key, value in wanted.selector):
        return False
    return not wanted.affinity or any(all(_holds(one, labels) for one in term) for term in wanted.affinity)


def untolerated(wanted: Constraints, taints: Iterable[Taint]) -> Taint | None:
    """Return the first taint that keeps such a pod away; None if none does."""
    for taint in taints:
        if taint.effect != "PreferNoSchedule" and not any(_tolerates(one, taint) for one in wanted.tolerations):
            return taint
    return None


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in {"", taint.effect} or toleration.key not in {"", taint.key}:
        return False
    # an empty key matches all taints, but only with Exists
    return toleration.operator == "Exists" or (toleration.key == taint.key and toleration.value == taint.value)


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Return whether one expression holds; an operator that is not known holds nowhere."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(value, requirement.values, greater=operator == "Gt")
        case _:
            return False


def _compares(value: str | None, bounds: tuple[str, ...], *, greater: bool) -> bool:
    try:
        number, bound = int(value or ""), int(bounds[0])
    except (ValueError, IndexError):
        return False
    return number > bound if greater else number < bound
