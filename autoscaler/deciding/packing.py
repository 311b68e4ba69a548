"""Places for items: first fit on what there is, and the machines that the rest needs. Pure.

`opened` repeats the whole placement with the machines that it opens, until nothing is left over: a second decision on its
own result places the same items in the same way and opens nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from autoscaler.deciding.demand import Item, Key
from autoscaler.deciding.places import Place, Template

_GIB = 1 << 30
_UNKNOWN_SECONDS = 600.0
"""Stands for a run time that is not known, when machines are compared."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What room is worth, for comparing machines."""

    cpu: float
    """Of a core for an hour."""
    gib: float
    """Of a GiB for an hour."""
    surrounding_seconds: float
    """How long a machine costs without being of use: boot, and idle before it goes."""


def order(items: Iterable[Item]) -> list[Item]:
    """Return items by decreasing size, then as they came."""
    return sorted(items, key=lambda item: (-dominant(item.key), item.since, item.name))


def dominant(key: Key) -> float:
    """Return a size as one number: the larger one of cores and memory, 4 GiB for a core."""
    _, cpu, memory, _, extended = key
    return max(cpu / 1000, memory / (4 * _GIB)) + (1000.0 if extended else 0.0)


def fits(key: Key, place: Place) -> bool:
    """Return whether there is room, and labels and taints allow it."""
    wanted, cpu, memory, disk, extended = key
    return (
        place.cpu >= cpu
        and place.memory >= memory
        and place.pods > 0
        and place.disk >= disk
        and (not extended or all(place.extended.get(name, 0) >= amount for name, amount in extended))
        and place.allows(wanted)
    )


def take(key: Key, place: Place) -> None:
    """Take the room of one item off a place."""
    _, cpu, memory, disk, extended = key
    place.cpu -= cpu
    place.memory -= memory
    place.disk -= disk
    place.pods -= 1
    place.used += 1
    if extended:
        place.extended = dict(place.extended)
        for name, amount in extended:
            place.extended[name] = place.extended.get(name, 0) - amount


def first_fit(items: Sequence[Item], places: Sequence[Place]) -> tuple[list[tuple[Item, Place]], list[Item]]:
    """Return who fits where, each in the first place with room, and what fits nowhere. Takes the room off the places."""
    placed: list[tuple[Item, Place]] = []
    rest: list[Item] = []
    if not items or not places:
        return placed, list(items)
    least_cpu = min(item.key[1] for item in items)
    least_memory = min(item.key[2] for item in items)
    alive = [place for place in places if place.pods > 0 and place.cpu >= least_cpu and place.memory >= least_memory]
    start: dict[Key, int] = {}  # places only lose room: where an item did not fit, an equal one never will
    full = 0
    for item in items:
        key = item.key
        cpu, memory = key[1], key[2]
        end = len(alive)
        for at in range(start.get(key, 0), end):
            place = alive[at]
            if place.cpu >= cpu and place.memory >= memory and fits(key, place):
                start[key] = at
                break
        else:
            start[key] = end
            rest.append(item)
            continue
        take(key, place)
        placed.append((item, place))
        if place.cpu < least_cpu or place.memory < least_memory or place.pods <= 0:
            full += 1
            if full * 4 > end:  # look no more at what is full
                alive = [one for one in alive if one.pods > 0 and one.cpu >= least_cpu and one.memory >= least_memory]
                start, full = {}, 0
    return placed, rest


@dataclass(slots=True, eq=False)
class _Group:
    """Items that fit equally and run for about as long."""

    key: Key
    items: list[Item]
    seconds: float
    """Their mean."""
    size: float
    rate: float
    """What their room is worth for an hour."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A machine to open, and how many of it in the same way."""

    template: Template
    packed: tuple[tuple[_Group, int], ...]
    """How many of each group one machine takes."""
    copies: int


class Rest:
    """Items without a place, by kind: opening a machine takes some of them off."""

    def __init__(self, items: Iterable[Item], worth: Worth) -> None:
        """Group items that fit equally and are expected to run equally long, within a factor of two."""
        self._worth = worth
        found: dict[tuple[Key, int], _Group] = {}
        for item in items:
            seconds = _UNKNOWN_SECONDS if item.seconds is None else max(1.0, item.seconds)
            at = (item.key, int(seconds).bit_length())
            group = found.get(at)
            if group is None:
                rate = worth.cpu * item.key[1] / 1000 + worth.gib * item.key[2] / _GIB
                group = found[at] = _Group(item.key, [], 0.0, dominant(item.key), rate)
            group.items.append(item)
            group.seconds += seconds
        for group in found.values():
            group.seconds /= len(group.items)
        self._by_size = sorted(found.values(), key=lambda one: (-one.size, one.key[1:4], -one.seconds, one.items[0].name))
        # jobs that end together leave no node half empty
        self._by_length = sorted(self._by_size, key=lambda one: -one.seconds)

    def __bool__(self) -> bool:
        return bool(self._by_size)

    def choice(self, candidates: Sequence[Template], *, largest: float, room: Callable[[Template], int]) -> Choice | None:
        """Return the machine whose price for what it is worth is lowest; None if none may be ordered, or takes anything.

        `room` says how many of a machine may still be ordered. The machine is at most `largest` times as large as the
        largest item that any can take (0: any size), unless only a larger one takes that item.
        """
        best: tuple[float, Template, list[tuple[_Group, int]], int] | None = None
        for template in self._right_sized(candidates, largest):
            most = room(template)
            if most <= 0:
                continue
            machine = template.place("", ready_at=0.0)
            for groups in (self._by_size, self._by_length):
                packed = _packed(groups, template, machine)
                if not packed:
                    break
                life = max(group.seconds for group, _ in packed)
                value = sum(count * group.seconds * group.rate for group, count in packed)
                score = template.type.price_per_hour * (self._worth.surrounding_seconds + life) / max(value, 1e-9)
                if best is None or score < best[0] * (1 - 1e-9):  # of equals the first, which is the smaller one
                    best = (score, template, packed, most)
        if best is None:
            return None
        _, template, packed, most = best
        copies = min(len(group.items) // count for group, count in packed)
        return Choice(template, tuple(packed), max(1, min(most, copies)))

    def take(self, choice: Choice) -> None:
        """Take what all copies of a machine hold off the rest."""
        for group, count in choice.packed:
            del group.items[: count * choice.copies]
        self._by_size = [group for group in self._by_size if group.items]
        self._by_length = [group for group in self._by_length if group.items]

    def _right_sized(self, candidates: Sequence[Template], largest: float) -> list[Template]:
        """Return the candidates that are not needlessly large, the smallest first."""
        ordered = sorted(candidates, key=lambda one: (one.cpu, one.type.price_per_hour))
        if largest <= 0:
            return ordered
        machines = [(one, one.place("", ready_at=0.0)) for one in ordered]
        for group in self._by_size:  # the largest item that anything can take sets the scale
            able = next((one for one, machine in machines if fits(group.key, machine)), None)
            if able is not None:
                bound = largest * group.size
                return [one for one in ordered if max(one.cpu / 1000, one.memory / (8 * _GIB)) <= bound or one is able]
        return []


def _packed(groups: Sequence[_Group], template: Template, machine: Place) -> list[tuple[_Group, int]]:
    """Return how many of each group one machine takes, in the groups' order."""
    cpu, memory, disk, pods = template.cpu, template.memory, template.disk, template.pods
    extended = machine.extended
    found = []
    for group in groups:
        wanted, one_cpu, one_memory, one_disk, one_extended = group.key
        if one_cpu > cpu or one_memory > memory or one_disk > disk or not machine.allows(wanted):
            continue
        count = min(len(group.items), pods)
        if one_cpu:
            count = min(count, cpu // one_cpu)
        if one_memory:
            count = min(count, memory // one_memory)
        if one_disk:
            count = min(count, disk // one_disk)
        for name, amount in one_extended:
            count = min(count, extended.get(name, 0) // amount) if amount else count
        if count <= 0:
            continue
        found.append((group, count))
        cpu -= count * one_cpu
        memory -= count * one_memory
        disk -= count * one_disk
        pods -= count
        if one_extended:
            extended = extended | {name: extended.get(name, 0) - count * amount for name, amount in one_extended}
        if pods <= 0 or cpu <= 0 or memory <= 0:
            break
    return found
