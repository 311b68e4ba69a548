"""How large a container is: decided from the operator's settings, the job, measured builds and an earlier memory kill.

Pure. Precedence: settings < sizes.json < the job's KUBERNETES_* variables, within the caps; an earlier kill raises the
memory over all of them, within the same caps. Values that a pipeline took from a size table are marked: a hint, which the
table beats. The wording follows the official executor's.
"""

from collections.abc import Callable, Sequence

import msgspec

from executor.errors import RequestError
from executor.quantities import LEAST_MEMORY_LIMIT_BYTES, Kind, Use, core_hint, fault_of, read_quantity
from executor.settings import Settings
from executor.size_table import MeasuredSize
from executor.units import QuantityError, format_bytes, format_millicores, in_cores, in_gib, parse_bytes


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What a container asks for (request) and cannot exceed (limit); None is unset."""

    cpu_request_millicores: int | None = None
    cpu_limit_millicores: int | None = None
    memory_request_bytes: int | None = None
    memory_limit_bytes: int | None = None
    disk_request_bytes: int | None = None
    disk_limit_bytes: int | None = None


class PastUse(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of earlier builds of the same thing, and of earlier attempts of the same job; None means nothing."""

    measured: MeasuredSize | None = None
    """From the operator's size table."""
    memory_killed_at_bytes: int | None = None
    """The memory limit at which an attempt was killed."""
    disk_killed_at_bytes: int | None = None
    """The disk limit that an attempt exceeded."""


NOTHING_KNOWN = PastUse()
_LARGEST_PAGE = 64 << 10
MARK = "SPACK_FARM_SIZE_SOURCE"
"""The job's variable with the digest of the size table that its KUBERNETES_* variables come from."""


class SizeDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A size, and what the job log says about how it came about."""

    size: Size
    notes: list[str]
    warnings: list[str]
    asked: frozenset[str] = frozenset()
    """The resources, by their names in Kubernetes, of which the job itself has chosen the request or the limit."""


class _Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A request or a limit: one row of the table."""

    key: str
    """As in the settings; with `KUBERNETES_` before it, in capitals, the job's variable."""
    field: str
    """Of `Size`."""
    kind: Kind
    use: Use
    format: Callable[[int], str]
    measured: str = ""
    """Of `MeasuredSize`; "" where the size table says nothing."""


_CPU_REQUEST, _CPU_LIMIT, _MEMORY_REQUEST, _MEMORY_LIMIT, _DISK_REQUEST, _DISK_LIMIT = _BOUNDS = (
    _Bound(key="cpu_request", field="cpu_request_millicores", kind=Kind.CPU, use=Use.REQUEST, format=format_millicores,
           measured="cpu_millicores"),
    _Bound(key="cpu_limit", field="cpu_limit_millicores", kind=Kind.CPU, use=Use.LIMIT, format=format_millicores),
    _Bound(key="memory_request", field="memory_request_bytes", kind=Kind.MEMORY, use=Use.REQUEST, format=format_bytes,
           measured="memory_bytes"),
    _Bound(key="memory_limit", field="memory_limit_bytes", kind=Kind.MEMORY, use=Use.LIMIT, format=format_bytes,
           measured="memory_limit_bytes"),
    _Bound(key="ephemeral_storage_request", field="disk_request_bytes", kind=Kind.DISK, use=Use.REQUEST, format=format_bytes,
           measured="disk_bytes"),
    _Bound(key="ephemeral_storage_limit", field="disk_limit_bytes", kind=Kind.DISK, use=Use.LIMIT, format=format_bytes),
)  # fmt: skip
_PAIRS = ((_CPU_REQUEST, _CPU_LIMIT), (_MEMORY_REQUEST, _MEMORY_LIMIT), (_DISK_REQUEST, _DISK_LIMIT))


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The value of one bound, and what the job log says about it."""

    value: int | None
    is_measured: bool = False
    """Whether it comes from the size table."""
    is_asked: bool = False
    """Whether it comes from the job's own variable."""
    notes: list[str] = []
    warnings: list[str] = []


def decide_size(
    settings: Settings, variables: dict[str, str], *, helper: bool = False, past: PastUse = NOTHING_KNOWN
) -> SizeDecision:
    """Return the size of the build or the helper container.

    Raises RequestError if a variable is not a quantity, or exceeds its cap and `oversize` is `strict`.
    """
    chosen = {bound.field: _choose(bound, settings, variables, past, helper=helper) for bound in _BOUNDS}
    size = Size(**{field: choice.value for field, choice in chosen.items()})
    notes = [note for choice in chosen.values() for note in choice.notes]
    if past.measured is not None and not helper:
        notes = [*_measured_notes(past.measured, chosen), *notes]
        size = _lift_measured_limit(size, chosen, settings)
    warnings = [warning for choice in chosen.values() for warning in choice.warnings]
    for rule in () if helper else (_derive_memory_limit, _raise_memory, _raise_disk):
        size, note = rule(size, settings, past)
        notes += [note] if note else []
    for request, limit in _PAIRS:
        size, warning = _lower_request(size, request, limit)
        warnings += [warning] if warning else []
    asked = frozenset(bound.kind.value for bound in _BOUNDS if chosen[bound.field].is_asked)
    return SizeDecision(size=size, notes=notes, warnings=warnings, asked=asked)


def next_memory_limit(settings: Settings, killed_at_bytes: int, ladder_bytes: Sequence[int] = ()) -> int | None:
    """Return the next larger memory limit after a kill at `killed_at_bytes`; None if the caps leave none.

    `ladder_bytes` are the limits that the size table holds ready for this; above them, the operator's step counts.
    """
    cap = _memory_cap(settings)
    # the kernel holds limits in whole pages: what it killed at may be a little less than the rung that was asked for
    rung = min((limit for limit in ladder_bytes if limit >= killed_at_bytes + _LARGEST_PAGE), default=None)
    if cap is None:
        return rung
    size = min(rung or _next_step(settings, killed_at_bytes), cap)
    return size if size > killed_at_bytes else None


def _next_step(settings: Settings, killed_at_bytes: int) -> int:
    return _percent(killed_at_bytes, settings.memory.step_percent)


def _percent(value: int, percent: int) -> int:
    """Return a part of a value in percent, rounded up."""
    return -(-value * percent // 100)


def _memory_cap(settings: Settings) -> int | None:
    """Return the most memory that a job may get: the limit's cap, else the request's."""
    kubernetes = settings.kubernetes
    text = kubernetes.memory_limit_overwrite_max_allowed or kubernetes.memory_request_overwrite_max_allowed
    return parse_bytes(text) if text else None


def _choose(bound: _Bound, settings: Settings, variables: dict[str, str], past: PastUse, *, helper: bool) -> _Choice:
    """Choose one bound by precedence: the operator's, over it the size table's, over it the job's."""
    setting = f"helper_{bound.key}" if helper else bound.key
    default: str = getattr(settings.kubernetes, setting)
    cap_text: str = getattr(settings.kubernetes, f"{setting}_overwrite_max_allowed")
    ours = _Choice(value=read_quantity(default, bound.kind, bound.use) if default else None)
    if past.measured is not None and not helper:
        ours = _measured_choice(bound, past.measured, cap_text, otherwise=ours)
    asked = variables.get(_variable(setting), "").strip()
    if not asked or (ours.is_measured and variables.get(MARK)):  # a hint of an older table
        return ours
    if not cap_text:
        note = f"{_variable(setting)} is ignored: kubernetes.{setting}_overwrite_max_allowed is not set"
        return _Choice(value=ours.value, notes=[*ours.notes, note])
    theirs = _asked_choice(bound, setting, asked, cap_text, strict=settings.oversize == "strict")
    return msgspec.structs.replace(theirs, notes=ours.notes + theirs.notes)


def _measured_choice(bound: _Bound, measured: MeasuredSize, cap_text: str, *, otherwise: _Choice) -> _Choice:
    """Return what earlier builds used, within the cap; another choice if the size table does not say, or nothing sound."""
    found: int | None = getattr(measured, bound.measured) if bound.measured else None
    if found is None:
        return otherwise
    fault = fault_of(found, bound.kind, bound.use)
    if fault:
        source = measured.source or "the size table"
        warning = f"{_title(bound.key)} {found} is not used ({source}). {fault}"
        return _Choice(value=otherwise.value, warnings=[warning])
    return _Choice(value=min(found, _cap(bound, cap_text)) if cap_text else found, is_measured=True)


def _measured_notes(measured: MeasuredSize, chosen: dict[str, _Choice]) -> list[str]:
    """Return what comes from the size table and why: `memory 12.0 GiB: 23 builds of hdf5@1.14, largest 10.1 GiB`."""
    taken = {field: choice.value for field, choice in chosen.items() if choice.is_measured and choice.value}
    memory = [in_gib(taken[field]) for field in ("memory_request_bytes", "memory_limit_bytes") if field in taken]
    texts = [f"memory {' to '.join(dict.fromkeys(memory))}"] if memory else []
    texts += [f"CPU {in_cores(taken[_CPU_REQUEST.field])} cores"] if _CPU_REQUEST.field in taken else []
    texts += [f"disk {in_gib(taken[_DISK_REQUEST.field])}"] if _DISK_REQUEST.field in taken else []
    if not texts:
        return []
    return [f"{texts[0]}: {measured.source or 'from the size table'}{''.join(f'; {text}' for text in texts[1:])}"]


def _lift_measured_limit(size: Size, chosen: dict[str, _Choice], settings: Settings) -> Size:
    """Keep the size table's memory limit from lowering what the job itself requests, within the limit's cap."""
    request, limit = chosen[_MEMORY_REQUEST.field], chosen[_MEMORY_LIMIT.field]
    if not (request.is_asked and limit.is_measured and request.value and limit.value):
        return size
    cap = settings.kubernetes.memory_limit_overwrite_max_allowed
    lifted = max(request.value, limit.value)
    return msgspec.structs.replace(size, memory_limit_bytes=min(lifted, parse_bytes(cap)) if cap else lifted)


def _asked_choice(bound: _Bound, setting: str, asked: str, cap_text: str, *, strict: bool) -> _Choice:
    """Return what the job asks for, within the cap. Raises RequestError."""
    try:
        wanted = read_quantity(asked, bound.kind, bound.use)
    except QuantityError as error:
        raise RequestError(f"{_variable(setting)}: {error}; correct the job's variable") from error
    cap = _cap(bound, cap_text)
    if wanted <= cap:
        return _Choice(value=wanted, is_asked=True, notes=[f'"{_title(setting)}" overwritten with "{asked}"'])
    hint = core_hint(asked, cap) if bound.kind is Kind.CPU else ""
    if strict:
        raise RequestError(
            f'the resource "{_title(setting)}" requested {asked} is higher than limit allowed {cap_text}{hint}; '
            f"lower {_variable(setting)}, or ask the operator to raise kubernetes.{setting}_overwrite_max_allowed"
        )
    warning = f'"{_title(setting)}" {asked} is higher than allowed and was lowered to {cap_text}{hint}'
    return _Choice(value=cap, is_asked=True, warnings=[warning])


def _cap(bound: _Bound, text: str) -> int:
    return read_quantity(text, bound.kind, Use.CAP)


def _derive_memory_limit(size: Size, settings: Settings, past: PastUse) -> tuple[Size, str]:
    """Set a memory limit from the request where the operator's policy says so and nothing else has set one."""
    del past
    kubernetes, request = settings.kubernetes, size.memory_request_bytes
    if size.memory_limit_bytes is not None or request is None or kubernetes.memory_limit_percent == 0:
        return size, ""
    floor = max(parse_bytes(kubernetes.memory_limit_floor or "0"), LEAST_MEMORY_LIMIT_BYTES)
    limit = max(_percent(request, kubernetes.memory_limit_percent), floor)
    cap = kubernetes.memory_limit_overwrite_max_allowed
    limit = max(request, min(limit, parse_bytes(cap))) if cap else limit
    note = f"memory limit {in_gib(limit)}: {kubernetes.memory_limit_percent} % of the request"
    return msgspec.structs.replace(size, memory_limit_bytes=limit), note


def _raise_memory(size: Size, settings: Settings, past: PastUse) -> tuple[Size, str]:
    """Give the job the next larger size after an earlier attempt was killed for memory."""
    killed_at = past.memory_killed_at_bytes
    ladder = past.measured.ladder_memory_bytes if past.measured else []
    limit = next_memory_limit(settings, killed_at, ladder) if killed_at else None
    if not killed_at or limit is None or (size.memory_limit_bytes or 0) >= limit:
        return size, ""
    cap = settings.kubernetes.memory_request_overwrite_max_allowed
    request = min(limit, parse_bytes(cap)) if cap else limit if limit in ladder else 0  # else the job keeps its request
    request = max(size.memory_request_bytes or 0, request)
    note = f"memory raised to {in_gib(limit)}: an earlier attempt of this job was killed at {in_gib(killed_at)}"
    return msgspec.structs.replace(size, memory_limit_bytes=limit, memory_request_bytes=request or None), note


def _raise_disk(size: Size, settings: Settings, past: PastUse) -> tuple[Size, str]:
    """Give the job the next larger disk limit after an earlier attempt exceeded its own; the cap is the limit's."""
    killed_at, cap = past.disk_killed_at_bytes, settings.kubernetes.ephemeral_storage_limit_overwrite_max_allowed
    if not killed_at or not cap or size.disk_limit_bytes is None:
        return size, ""
    limit = min(_next_step(settings, killed_at), parse_bytes(cap))
    if size.disk_limit_bytes >= limit:
        return size, ""
    note = f"disk raised to {in_gib(limit)}: an earlier attempt of this job exceeded {in_gib(killed_at)}"
    return msgspec.structs.replace(size, disk_limit_bytes=limit), note


def _lower_request(size: Size, request: _Bound, limit: _Bound) -> tuple[Size, str]:
    """Make the request at most the limit: the API server rejects more."""
    wanted: int | None = getattr(size, request.field)
    most: int | None = getattr(size, limit.field)
    if wanted is None or most is None or wanted <= most:
        return size, ""
    warning = f"{request.key.removesuffix('_request')} request lowered to its limit, {limit.format(most)}"
    return msgspec.structs.replace(size, **{request.field: most}), warning


def _variable(setting: str) -> str:
    return f"KUBERNETES_{setting.upper()}"


def _title(setting: str) -> str:
    """Return the official executor's name of a value: `MemoryRequest`."""
    return "".join(word.capitalize() for word in setting.split("_")).replace("Cpu", "CPU")
