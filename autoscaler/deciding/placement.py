"""Which item goes where, and which machines are ordered for the rest. Pure.

Room now: usable nodes, our own cordoned ones, booting machines. Then, for `lookahead`, room that running jobs are expected
to leave before an ordered machine could be there: an order would come no sooner. Only what is left over leads to orders.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoscaler.deciding import packing
from autoscaler.deciding.budget import Budget
from autoscaler.deciding.demand import Item, Key, expected_end
from autoscaler.deciding.packing import Worth, first_fit, order
from autoscaler.deciding.places import NodePods, Place, Template
from autoscaler.policy import Policy

_MOST_ROUNDS = 25
"""Of opening and placing anew; two are usual."""


@dataclass(slots=True)
class Placement:
    """The result; each item is in exactly one of the first four."""

    placed: list[tuple[Item, Place]] = field(default_factory=list)
    """Has room now, or on a machine that boots or is ordered."""
    later: list[tuple[Item, Place]] = field(default_factory=list)
    """Gets room that a running job leaves in time."""
    impossible: list[Item] = field(default_factory=list)
    """Fits no machine that could ever be ordered."""
    capped: list[Item] = field(default_factory=list)
    """A bound keeps the order back."""
    orders: list[tuple[Template, Place]] = field(default_factory=list)
    """Machines to order."""


def place(  # noqa: PLR0913  the whole of what an order depends on
    items: Sequence[Item],
    floor: Sequence[Item],
    standing: Sequence[Place],
    booting: Sequence[tuple[Template, Place]],
    templates: Sequence[Template],
    *,
    policy: Policy,
    budget: Budget,
    bound: dict[str, NodePods],
    opens: bool,
    now: float,
) -> Placement:
    """Return where items go. `floor` are slots that are kept free, after all others. `opens`: machines may be ordered."""
    saved = [
        (one, one.cpu, one.memory, one.disk, one.pods, one.extended) for one in (*standing, *(one for _, one in booting))
    ]
    possible = _Possible(templates)
    new: list[tuple[Template, Place]] = []
    ordered, spare = order(items), order(floor)
    result, able = Placement(), list[Item]()
    for last in (*[False] * _MOST_ROUNDS, True):
        # new machines stand where the next decision will find them: among those that boot
        machines = sorted((*booting, *new), key=lambda one: (one[0].rank, one[1].ready_at, one[1].name))
        places = [*standing, *(one for _, one in machines)]
        result, rest = _placed(ordered, spare, places, policy=policy, bound=bound, now=now)
        able = []
        for item in rest:
            (able if possible.takes(item.key) else result.impossible).append(item)
        opened = []
        if opens and able and not last:
            opened = _opened(able, templates, policy=policy, budget=budget, number=len(new), now=now)
        if not opened:
            break
        new = [(template, template.place(machine.name, ready_at=machine.ready_at)) for template, machine in (*new, *opened)]
        for one, cpu, memory, disk, pods, extended in saved:
            one.cpu, one.memory, one.disk, one.pods, one.extended, one.used = cpu, memory, disk, pods, extended, 0
    result.capped, result.orders = able, [one for one in new if one[1].used]
    return result


def _placed(  # noqa: PLR0913  items, places and what is known of them
    items: Sequence[Item],
    spare: Sequence[Item],
    places: Sequence[Place],
    *,
    policy: Policy,
    bound: dict[str, NodePods],
    now: float,
) -> tuple[Placement, list[Item]]:
    placed, rest = first_fit(items, places)
    kept, missing = first_fit(spare, places)
    result = Placement(placed=placed + kept)
    if rest and policy.name == "lookahead":
        result.later, rest = first_fit(rest, _left_in_time(places, policy, bound, now))
    return result, rest + missing


def _left_in_time(places: Iterable[Place], policy: Policy, bound: dict[str, NodePods], now: float) -> list[Place]:
    """Return places with the room that running jobs leave before a machine that is ordered now could take a job.

    Their room is what is left now and what is left then; the places themselves stay as they are.
    """
    boots = {pool.name: pool.boot_seconds for pool in policy.pools}
    found = []
    for one in places:
        held = bound.get(one.name)
        if one.node is None or not held or one.ready_at > now or one.node.cordon or one.pool not in boots:
            continue
        until = now + boots[one.pool] + policy.look_ahead.slack_seconds
        leaving = [pod for pod in held.jobs if expected_end(pod, policy.look_ahead, now) <= until]
        if leaving:
            found.append(
                Place(
                    one.name, one.pool, one.type, one.zone,
                    one.cpu + sum(pod.size.cpu_millicores for pod in leaving),
                    one.memory + sum(pod.size.memory_bytes for pod in leaving),
                    one.disk + sum(pod.size.disk_bytes for pod in leaving),
                    one.extended, one.pods + len(leaving), one.labels, one.taints,
                    min(expected_end(pod, policy.look_ahead, now) for pod in leaving), one.price, one.node, True,
                    matches=one.matches,
                )
            )  # fmt: skip
    return found


def _opened(  # noqa: PLR0913  the rest, the machines, and all bounds
    items: Sequence[Item], templates: Sequence[Template], *, policy: Policy, budget: Budget, number: int, now: float
) -> list[tuple[Template, Place]]:
    """Return the machines that items without a place need, within the budget."""
    boot = max(template.pool.boot_seconds for template in templates)
    worth = Worth(
        cpu=policy.node_price_cpu,
        gib=policy.node_price_gib,
        surrounding_seconds=boot + policy.scale_in.idle_seconds + policy.scale_in.confirm_seconds,
    )
    rest = packing.Rest(items, worth)
    found: list[tuple[Template, Place]] = []
    while rest:
        candidates = sorted(templates, key=lambda one: (budget.zone_load(one), one.rank))
        choice = rest.choice(candidates, largest=policy.largest_type, room=budget.room)
        if choice is None:
            break
        template = choice.template
        copies = min(choice.copies, 1) if len(template.pool.zones) > 1 else choice.copies  # one at a time fills zones evenly
        for _ in range(copies):
            name = f"new-{number + len(found):05}"
            found.append((template, template.place(name, ready_at=now + template.pool.boot_seconds)))
        budget.take(template, copies)
        rest.take(packing.Choice(template, choice.packed, copies))
    return found


class _Possible:
    """Whether any machine that could be ordered takes an item, bounds aside."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self._machines = [template.place("", ready_at=0.0) for template in templates]
        self._known: dict[Key, bool] = {}

    def takes(self, key: Key) -> bool:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = any(packing.fits(key, machine) for machine in self._machines)
        return found
