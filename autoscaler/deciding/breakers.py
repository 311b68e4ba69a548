"""Orders that fail: a wait that doubles for each pool, type and zone, and a breaker that lets one order through. Pure.

A fault counts once: the ledger knows until when faults are counted. A node that came later than the last fault closes the
matter.
"""

from collections.abc import Iterable, Mapping

import msgspec

from autoscaler.policy import BreakerSettings, Policy
from autoscaler.snapshot import Breaker, Snapshot

Key = tuple[str, str, str]
_MOST_DOUBLINGS = 20


def updated(snapshot: Snapshot, policy: Policy, now: float) -> dict[Key, Breaker]:
    """Return the breakers after what the Snapshot shows, by pool, type and zone; one without a failure is not among them."""
    known = {(one.pool, one.type, one.zone): one for one in snapshot.ledger.breakers}
    for key, at in sorted(_faults(snapshot, policy.breaker, now), key=lambda fault: (fault[1], fault[0])):
        old = known.get(key) or Breaker(pool=key[0], type=key[1], zone=key[2], last_fault_at=float("-inf"))
        if at > old.last_fault_at:
            failures = old.failures + 1
            known[key] = msgspec.structs.replace(
                old, failures=failures, last_fault_at=at, closed_at=at + _wait(failures, policy.breaker)
            )
    came: dict[Key, float] = {}
    for node in snapshot.nodes:
        if node.pool and node.is_usable:
            for key in ((node.pool, node.type, node.zone), (node.pool, node.type, "")):
                came[key] = max(came.get(key, 0.0), node.created_at)
    return {key: one for key, one in sorted(known.items()) if came.get(key, float("-inf")) <= one.last_fault_at}


def _wait(failures: int, settings: BreakerSettings) -> float:
    if failures >= settings.failures:
        return settings.most_seconds
    return float(min(settings.most_seconds, settings.first_seconds * 2 ** min(failures - 1, _MOST_DOUBLINGS)))


def _faults(snapshot: Snapshot, settings: BreakerSettings, now: float) -> Iterable[tuple[Key, float]]:
    """Yield what failed and when: what the cloud says, orders without a node, nodes that never became usable."""
    for pool in snapshot.pools:
        for fault in pool.faults:
            yield (pool.name, fault.type, fault.zone), min(fault.at, now)
    timeout = settings.boot_timeout_seconds
    for launch in snapshot.launches:
        if now - launch.ordered_at > timeout:
            yield (launch.pool, launch.type, launch.zone), launch.ordered_at + timeout
    for node in snapshot.nodes:
        if node.pool and not node.is_usable and node.unready_since is None and now - node.created_at > timeout:
            yield (node.pool, node.type, node.zone), node.created_at + timeout


def closed(breakers: Mapping[Key, Breaker], key: Key, now: float) -> Breaker | None:
    """Return the breaker that forbids an order now; None if none does. The zone "" speaks for all zones."""
    for one in (breakers.get(key), breakers.get((key[0], key[1], ""))):
        if one is not None and now < one.closed_at:
            return one
    return None


def probes(breakers: Mapping[Key, Breaker], key: Key) -> bool:
    """Return whether only a single machine may be ordered, to see whether orders work again."""
    return key in breakers or (key[0], key[1], "") in breakers
