"""How many machines may still be ordered: caps by nodes, by cost per hour, by step, by pool, and breakers. Pure.

A budget is a working value of one decision. It remembers which bound was met first, for the notes of the plan.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from autoscaler.deciding import breakers as breaker_rules
from autoscaler.deciding.breakers import Key
from autoscaler.deciding.places import Template
from autoscaler.policy import Policy
from autoscaler.snapshot import Breaker, PoolState

_EPSILON = 1e-6
Breakers = Mapping[Key, Breaker]


class Machine(NamedTuple):
    """A node or a booting machine of ours, as it counts."""

    pool: str
    type: str
    zone: str
    price: float
    ordered_at: float
    boots: bool


class Budget:
    """What may still be ordered. Invariant: no count ever passes its bound because of an order."""

    def __init__(
        self, policy: Policy, states: Iterable[PoolState], machines: Iterable[Machine], *, breakers: Breakers, now: float
    ) -> None:
        """Count our nodes and booting machines, each once."""
        self._policy, self._breakers, self._now = policy, breakers, now
        self._states = {state.name: state for state in states}
        self._by_pool: dict[str, int] = {pool.name: 0 for pool in policy.pools}
        self._by_zone: dict[tuple[str, str], int] = {}
        self._on_order: dict[Key, int] = {}
        self._nodes, self._cost = 0, 0.0
        self._step_left = policy.caps.most_step_nodes
        for machine in machines:
            self._count(machine.pool, machine.zone, machine.price, 1)
            if machine.boots:
                key = (machine.pool, machine.type, machine.zone)
                self._on_order[key] = self._on_order.get(key, 0) + 1
            self._step_left -= machine.ordered_at > now - policy.caps.step_seconds
        self.met: dict[str, str] = {}
        """Bound -> message, of what kept an order back."""

    def _count(self, pool: str, zone: str, price: float, count: int) -> None:
        self._nodes += count
        self._cost += price * count
        self._by_pool[pool] = self._by_pool.get(pool, 0) + count
        self._by_zone[pool, zone] = self._by_zone.get((pool, zone), 0) + count

    def zone_load(self, template: Template) -> int:
        """Return how many machines the template's pool has in its zone."""
        return self._by_zone.get((template.pool.name, template.zone), 0)

    def machines(self, pool: str) -> int:
        """Return how many nodes and booting machines a pool has, orders of this decision included."""
        return self._by_pool.get(pool, 0)

    def take(self, template: Template, count: int) -> None:
        """Count an order."""
        key = (template.pool.name, template.type.name, template.zone)
        self._count(template.pool.name, template.zone, template.type.price_per_hour, count)
        self._step_left -= count
        self._on_order[key] = self._on_order.get(key, 0) + count

    def room(self, template: Template) -> int:
        """Return how many of a machine may still be ordered, and note which bound says no."""
        pool, caps = template.pool, self._policy.caps
        state = self._states.get(pool.name)
        key = (pool.name, template.type.name, template.zone)
        if state is None:
            return self._no("pool_unknown", f"the pool {pool.name} was not read: nothing is ordered there")
        if state.rejected:
            return self._no("pool_rejected", f"nothing is ordered in the pool {pool.name}: {state.rejected}")
        if broken := breaker_rules.closed(self._breakers, key, self._now):
            zone = f" in {template.zone}" if template.zone else ""
            wait = f"{broken.closed_at - self._now:.0f} s: {broken.failures} orders failed"
            message = f"{template.type.name}{zone} of the pool {pool.name} is not ordered for {wait}"
            return self._no(f"breaker {template.type.name}{zone}", message)
        probe = breaker_rules.probes(self._breakers, key)
        if probe and self._on_order.get(key, 0):
            return self._no(
                "breaker", f"one {template.type.name} of the pool {pool.name} is on order to see whether orders work again"
            )
        most_of_pool = pool.most_nodes if state.most is None else min(pool.most_nodes, state.most)
        bounds = {
            f"pool {pool.name}": (
                most_of_pool - self._by_pool[pool.name],
                f"the pool {pool.name} has its {most_of_pool} nodes",
            ),
            "max_nodes": (
                caps.most_nodes - self._nodes,
                f"there are {self._nodes} nodes, caps.most_nodes is {caps.most_nodes}",
            ),
            "max_cost": (
                _times(caps.most_cost_per_hour - self._cost, template.type.price_per_hour),
                f"nodes cost {self._cost:.2f} per hour, caps.most_cost_per_hour is {caps.most_cost_per_hour:g}",
            ),
            "max_step": (self._step_left, f"{caps.most_step_nodes} machines were ordered within {caps.step_seconds:g} s"),
        }
        least = min(bounds, key=lambda name: bounds[name][0])
        room, message = bounds[least]
        return self._no(least, message) if room <= 0 else min(room, 1) if probe else room

    def _no(self, bound: str, message: str) -> int:
        self.met.setdefault(bound, message)
        return 0


def _times(left: float, price: float) -> int:
    """Return how many machines of a price the rest of the cost allows; the sum of many prices is not exact."""
    if price <= 0:
        return 1 << 30
    return max(0, math.floor((left + _EPSILON) / price))
