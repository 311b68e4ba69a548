"""The operator's settings: a TOML file; what decisions need of it becomes a `Policy`. One message names all faults it can.

Sizes are written as in Kubernetes (`cpu = "16"`, `memory = "64Gi"`). What a node of a type has for pods is computed as EKS
does, unless it is given. Source of the reserve: awslabs/amazon-eks-ami, nodeadm (kubelet's kubeReserved).
"""

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from autoscaler import cron
from autoscaler.errors import SettingsError
from autoscaler.policy import InstanceType, Policy, PolicyName, PolicyOptions, Pool, PoolOptions
from autoscaler.snapshot import Size
from executor.units import QuantityError, parse_bytes, parse_millicores
from spelling.keys import unknown_keys
from spelling.nearest import did_you_mean

_MIB, _GIB = 1 << 20, 1 << 30
_MOST_BYTES = 16 << 20
_INPUTS = ("pods", "nodes", "pools", "graphs", "gitlab")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OPTIONS = {
    "nodeclaim": ("node_class_group", "node_class_kind", "node_class", "capacity_type"),
    "asg": ("group", "region"),
    "kwok": (),
}
"""What a pool's hand knows; a group of an Auto Scaling group may be named for each type and zone, too."""
_LABEL = re.compile("[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_EVICTION_MIB = 100
_RESERVED_MIB, _RESERVED_MIB_PER_POD = 255, 11


class TypeTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of machine, `[[pools.types]]`."""

    name: str
    """Such as `m5.4xlarge`."""
    cpu: str
    """Its cores."""
    memory: str
    """Its memory."""
    disk: str = "0"
    """Its ephemeral storage; 0: not known, anything fits."""
    extended: dict[str, int] = {}
    """Other resources, such as `"nvidia.com/gpu" = 1`."""
    price_per_hour: float
    """Its price."""
    most_pods: int = 110
    """How many pods a node may run."""
    allocatable_cpu: str = ""
    """What a node has for pods; "" computes it."""
    allocatable_memory: str = ""
    """What a node has for pods; "" computes it."""
    daemons_cpu: str = "0"
    """What DaemonSets' pods request there."""
    daemons_memory: str = "0"
    """What DaemonSets' pods request there."""


class SlotTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size of a job of which nothing else is known."""

    cpu: str = "4"
    """Its cores."""
    memory: str = "16G"
    """Its memory."""


class PoolTable(PoolOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pool, `[[pools]]`."""

    types: tuple[TypeTable, ...]
    """What it can order."""
    slot: SlotTable = SlotTable()
    """Size of a job of which nothing else is known."""


class SettingsFile(PolicyOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    policy: PolicyName = "lookahead"
    """How demand becomes orders."""
    pools: tuple[PoolTable, ...] = ()
    """Pools."""
    service: dict[str, Any] = msgspec.field(default_factory=dict)
    """What the service alone needs: `[service]`."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says, as values."""

    policy: Policy
    """For decisions."""
    service: dict[str, Any]
    """The table `[service]`, unread."""


def read_settings(path: Path) -> Settings:
    """Return the settings of a file. Raises SettingsError."""
    return parse_settings(read_text(path, "the settings"), source=str(path))


def read_text(path: Path, what: str) -> str:
    """Return a file of text, with or without a byte order mark. Raises SettingsError, which names the file."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise SettingsError(f"{what} {path} can't be read: more than {_MOST_BYTES >> 20} MiB")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{what} {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{what} {path} can't be read: it is not text in UTF-8 ({error.reason})") from error


def parse_toml(content: str, *, source: str) -> dict[str, Any]:
    """Return the tables of a text. Raises SettingsError, which names the source."""
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{source}: its values are nested too deeply") from error


def parse_settings(content: str, *, source: str = "settings") -> Settings:
    """Return the settings of a text. Raises SettingsError, which names the source."""
    document = parse_toml(content, source=source)
    if unknown := unknown_keys(document, SettingsFile):
        raise SettingsError(f"{source}: {'; '.join(unknown)}")
    try:
        file = msgspec.convert(document, SettingsFile)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {error}") from error
    faults: list[str] = []
    pools = tuple(_pool(table, faults) for table in file.pools)
    faults += _faults(file)
    if faults:
        raise SettingsError(f"{source}: {'; '.join(faults)}")
    settled = {name: getattr(file, name) for name in PolicyOptions.__struct_fields__}
    return Settings(policy=Policy(name=file.policy, pools=pools, **settled), service=file.service)


def allocatable(cpu_millicores: int, memory_bytes: int, *, most_pods: int = 110) -> Size:
    """Return what a node of EKS has for pods: kubelet's reserve and the eviction threshold are taken off."""
    cores = cpu_millicores / 1000
    reserved = (
        60 * min(1.0, cores) + 10 * min(1.0, max(0.0, cores - 1))
        + 5 * min(2.0, max(0.0, cores - 2)) + 2.5 * max(0.0, cores - 4)
    )  # fmt: skip
    # EKS counts the pods that the machine's network allows; 30 stands for the small types that builds use.
    reserved_bytes = (_RESERVED_MIB + _RESERVED_MIB_PER_POD * min(most_pods, 30) + _EVICTION_MIB) * _MIB
    return Size(cpu_millicores=max(0, int(cpu_millicores - reserved)), memory_bytes=max(0, memory_bytes - reserved_bytes))


def _pool(table: PoolTable, faults: list[str]) -> Pool:
    types = tuple(_type(one, f"pools.{table.name}.types.{one.name}", faults) for one in table.types)
    slot = Size(
        cpu_millicores=_cores(table.slot.cpu, f"pools.{table.name}.slot.cpu", faults),
        memory_bytes=_bytes(table.slot.memory, f"pools.{table.name}.slot.memory", faults),
    )
    given = {name: getattr(table, name) for name in PoolOptions.__struct_fields__}
    return Pool(types=types, slot=slot, **given)


def _type(table: TypeTable, at: str, faults: list[str]) -> InstanceType:
    cpu, memory = _cores(table.cpu, f"{at}.cpu", faults), _bytes(table.memory, f"{at}.memory", faults)
    found = allocatable(cpu, memory, most_pods=table.most_pods)
    cpu = _cores(table.allocatable_cpu, at, faults) if table.allocatable_cpu else found.cpu_millicores
    memory = _bytes(table.allocatable_memory, at, faults) if table.allocatable_memory else found.memory_bytes
    daemons = Size(
        cpu_millicores=_cores(table.daemons_cpu, f"{at}.daemons_cpu", faults),
        memory_bytes=_bytes(table.daemons_memory, f"{at}.daemons_memory", faults),
    )
    # A job that fits no type is ended: a type without room must be a fault of the settings, not of the jobs.
    if not (cpu > daemons.cpu_millicores and memory > daemons.memory_bytes and table.most_pods):
        faults.append(f"{at} has no room for pods: nothing is left of it after what a node and its DaemonSets need")
    return InstanceType(
        name=table.name,
        allocatable=Size(
            cpu_millicores=cpu,
            memory_bytes=memory,
            disk_bytes=_bytes(table.disk, f"{at}.disk", faults),
            extended=table.extended,
        ),
        price_per_hour=table.price_per_hour,
        most_pods=table.most_pods,
        daemons=daemons,
    )


def _cores(text: str, at: str, faults: list[str]) -> int:
    try:
        return parse_millicores(text)
    except QuantityError as error:
        faults.append(f"{at}: {error}")
        return 0


def _bytes(text: str, at: str, faults: list[str]) -> int:
    try:
        return parse_bytes(text)
    except QuantityError as error:
        faults.append(f"{at}: {error}")
        return 0


def _odd_numbers(value: object, at: str = "") -> Iterator[str]:
    """Yield the keys whose number is negative, infinite or none: no setting takes one."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _odd_numbers(one, f"{at}.{key}" if at else key) if key != "service" else ()
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            name = one.get("name", number) if isinstance(one, dict) else number
            yield from _odd_numbers(one, f"{at}.{name}")
    elif isinstance(value, int | float) and not 0 <= value < math.inf:
        yield f"{at} is {'negative' if value < 0 else 'not a finite number'}"


def _misspelled(pool: PoolTable) -> Iterator[str]:
    """Yield the words of a pool that mean nothing: what they were to say would be ignored."""
    known = set(_OPTIONS[pool.hand])
    if pool.hand == "asg":
        known |= {f"group.{one.name}" for one in pool.types}
        known |= {f"group.{one.name}.{zone}" for one in pool.types for zone in pool.zones if zone}
    for name in sorted(set(pool.options) - known):
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        yield f"pools.{pool.name}.options: the hand {pool.hand} has no option {name!r}{did_you_mean(name, known)}; {there}"
    for taint in pool.taints:
        if taint.effect not in _EFFECTS:
            yield f"pools.{pool.name}.taints: {taint.effect!r} is no effect; there are {', '.join(_EFFECTS)}"


def _faults(file: SettingsFile) -> list[str]:
    """Return what contradicts itself across keys."""
    names = [pool.name for pool in file.pools]
    faults = list(_odd_numbers(msgspec.to_builtins(file)))
    faults += [f"two pools have the name {name!r}" for name in sorted({name for name in names if names.count(name) > 1})]
    for what, used in (
        ("pools", names),
        *((f"pools.{pool.name}.types", [one.name for one in pool.types]) for pool in file.pools),
        *((f"pools.{pool.name}.zones", [one for one in pool.zones if one]) for pool in file.pools),
    ):
        faults += [f"{what}: {one!r} is no name that a node's label can have" for one in used if not _LABEL.fullmatch(one)]
    faults += [f"pools.{pool.name} has no types" for pool in file.pools if not pool.types]
    faults += [
        f"pools.{pool.name} has no zones; omit the key to let the cloud choose" for pool in file.pools if not pool.zones
    ]
    for pool in file.pools:
        types = [one.name for one in pool.types]
        faults += [f"pools.{pool.name} has the type {one} twice" for one in sorted({t for t in types if types.count(t) > 1})]
        faults += [
            f"pools.{pool.name} has the zone {one} twice"
            for one in sorted({z for z in pool.zones if pool.zones.count(z) > 1})
        ]
        faults += _misspelled(pool)
        if not 0 <= pool.least_nodes <= pool.most_nodes:
            faults.append(f"pools.{pool.name}: least_nodes is above most_nodes, or negative")
    faults += [
        f"inputs: there is no {one!r}{did_you_mean(one, _INPUTS)}; there are {', '.join(_INPUTS)}"
        for one in file.inputs
        if one not in _INPUTS
    ]
    faults += [
        f"warm: there is no pool {one.pool!r}{did_you_mean(one.pool, names)}" for one in file.warm if one.pool not in names
    ]
    faults += [f"warm: {fault}" for one in file.warm if (fault := cron.fault_of(one.cron))]
    if file.scale_in.confirm_seconds < 15:
        faults.append("scale_in.confirm_seconds is below 15: a job that is bound at that moment could be lost")
    if not file.scale_in.idle_seconds > 0:
        faults.append("scale_in.idle_seconds is not above 0: a node would go while its first job is on its way")
    if file.scale_in.cordon_seconds <= file.scale_in.confirm_seconds + 2 * file.tick_seconds:
        faults.append("scale_in.cordon_seconds leaves no time for the second look")
    for name, value in (("tick_seconds", file.tick_seconds), ("stale_seconds", file.stale_seconds)):
        if not value > 0:
            faults.append(f"{name} is not above 0")
    return faults
