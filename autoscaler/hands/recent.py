"""Orders that were just made and that no list shows yet: counted as booting until they show, or were never fulfilled.

Without them the next decision, seconds later, would order the same machines again. Pure but for what it remembers.
"""

from collections.abc import Collection, Iterable

import msgspec

from autoscaler.snapshot import Launch, LaunchFault

_SHOW_SECONDS = 60.0
"""A list that does not show an order by then never will."""
_KEEP_FAULTS_SECONDS = 3600.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One machine that was ordered."""

    launch: Launch
    shown: bool = False
    """Whether a list has shown it."""
    reason: str = ""
    """The cloud's last word on it."""


class Recent:
    """The orders of one hand."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._faults: dict[str, list[LaunchFault]] = {}

    def add(self, launch: Launch) -> None:
        """Remember an order."""
        self._orders.setdefault(launch.id, Order(launch=launch))

    def forget(self, name: str) -> None:
        """Forget an order that we gave up ourselves: its end is no fault."""
        self._orders.pop(name, None)

    def see(self, name: str, launch: Launch, reason: str) -> None:
        """Remember an order that a list shows and whose node has not come yet; also one of an earlier controller."""
        self._orders[name] = Order(launch=launch, shown=True, reason=reason or getattr(self._orders.get(name), "reason", ""))

    def settle(self, *, shown: Collection[str], fulfilled: Collection[str], now: float) -> tuple[Launch, ...]:
        """Return what is still to come. `shown` are orders that a list shows, `fulfilled` those that are nodes."""
        for name, order in list(self._orders.items()):
            if name in fulfilled:
                del self._orders[name]
            elif name not in shown and (order.shown or now - order.launch.ordered_at > _SHOW_SECONDS):
                # It was there and is gone, and never was a node: the cloud has given it up.
                del self._orders[name]
                self.fault(order.launch, order.reason or "the order vanished before it was a node", now)
        return tuple(order.launch for order in self._orders.values())

    def fault(self, launch: Launch, message: str, now: float) -> None:
        """Note an order that was not fulfilled."""
        fault = LaunchFault(at=now, type=launch.type, zone=launch.zone, message=message[:300])
        self._faults.setdefault(launch.pool, []).append(fault)

    def faults(self, pool: str, now: float) -> tuple[LaunchFault, ...]:
        """Return the faults of a pool within the last hour, the oldest first."""
        kept = [one for one in self._faults.get(pool, []) if now - one.at < _KEEP_FAULTS_SECONDS]
        self._faults[pool] = kept
        return tuple(kept)


def launches_of(launches: Iterable[Launch], pool: str) -> int:
    """Return how many of the orders are a pool's."""
    return sum(launch.pool == pool for launch in launches)
