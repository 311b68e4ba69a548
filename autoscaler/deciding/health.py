"""Whether a Snapshot is good enough to act on: fresh inputs, and not too many nodes that are not ready. Pure."""

from dataclasses import dataclass

from autoscaler.policy import Policy
from autoscaler.scale_plan import Note
from autoscaler.snapshot import Snapshot

_SURE = ("pods", "nodes", "pools")
"""Without one of these not even an order is certain."""
_FEW_NODES = 3
"""So many nodes may always be unhealthy: of two nodes one is half."""
FUTURE_SECONDS = 60.0
"""A time that is further in the future is a wrong clock's."""


@dataclass(frozen=True, slots=True)
class Health:
    """What may be done."""

    can_order: bool
    can_remove: bool
    can_look_ahead: bool
    notes: tuple[Note, ...]


def health_of(snapshot: Snapshot, policy: Policy, now: float) -> Health:
    """Return what may be done with such a Snapshot at that time."""
    names = dict.fromkeys((*_SURE, *policy.inputs))
    stale = {name: reason for name in names if (reason := _fault(snapshot.inputs.get(name), policy.stale_seconds, now))}
    notes = [
        Note(subject=name, reason="stale_input", message=f"{name}: {reason}; no node is removed until it is read again")
        for name, reason in stale.items()
    ]
    ours = [node for node in snapshot.nodes if node.pool]
    unready = sum(node.unready_since is not None and node.interrupted_at is None for node in ours)
    unhealthy = unready > _FEW_NODES and 100 * unready > policy.scale_in.unhealthy_percent * len(ours)
    if unhealthy:
        message = f"{unready} of {len(ours)} nodes are not ready: nothing is ordered or removed until they are looked after"
        notes.append(Note(subject="nodes", reason="unhealthy", message=message))
    certain = not any(name in stale for name in _SURE)
    return Health(
        can_order=certain and not unhealthy,
        can_remove=not stale and not unhealthy,
        can_look_ahead="graphs" not in stale and "gitlab" not in stale,
        notes=tuple(notes),
    )


def _fault(read_at: float | None, stale_seconds: float, now: float) -> str:
    if read_at is None:
        return "it was never read"
    if now - read_at > stale_seconds:
        return f"it was last read {now - read_at:.0f} s ago, longer than {stale_seconds:.0f} s"
    if read_at - now > FUTURE_SECONDS:
        return f"it was read {read_at - now:.0f} s in the future: a clock is wrong"
    return ""
