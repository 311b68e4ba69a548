"""How big a container is to be: what the operator's settings, the job, measured builds and an earlier memory kill say.

Pure. Precedence: settings < sizes.json < the job's KUBERNETES_* variables, within the caps; an earlier kill raises the
memory over all of them, within the same caps. The wording follows the official executor's.
"""

import msgspec

from executor.errors import RequestError
from executor.settings import Settings
from executor.size_table import MeasuredSize
from executor.units import QuantityError, format_bytes, format_millicores, in_gib, parse_bytes, parse_millicores

_RESOURCES = ("cpu", "memory", "ephemeral_storage")


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What a container asks for (request) and cannot exceed (limit); None is unset."""

    cpu_request_millicores: int | None = None
    cpu_limit_millicores: int | None = None
    memory_request_bytes: int | None = None
    memory_limit_bytes: int | None = None
    ephemeral_storage_request_bytes: int | None = None
    ephemeral_storage_limit_bytes: int | None = None


class PastUse(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of earlier builds of the same thing, and of earlier attempts of the same job; None means nothing."""

    measured: MeasuredSize | None = None
    """From the operator's size table."""
    memory_killed_at_bytes: int | None = None
    """The memory limit at which an attempt was killed."""
    disk_killed_at_bytes: int | None = None
    """The disk limit that an attempt exceeded."""


NOTHING_KNOWN = PastUse()


class SizeDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A size, and what people are told of how it came about."""

    size: Size
    notes: list[str]
    warnings: list[str]


def decide_size(
    settings: Settings, variables: dict[str, str], *, helper: bool = False, past: PastUse = NOTHING_KNOWN
) -> SizeDecision:
    """Return the size of the build or the helper container.

    Raises RequestError if a variable is no quantity, or exceeds its cap and `oversize` is `strict`.
    """
    notes: list[str] = []
    warnings: list[str] = []
    values: dict[str, int | None] = {}
    for resource in _RESOURCES:
        for bound in ("request", "limit"):
            values[f"{resource}_{bound}"] = _one(
                settings, variables, f"{resource}_{bound}", helper, past.measured, notes, warnings
            )
    if not helper:
        _derive_memory_limit(settings, values, notes)
        if past.memory_killed_at_bytes:
            _raise_memory(settings, values, past.memory_killed_at_bytes, notes)
        if past.disk_killed_at_bytes:
            _raise_disk(settings, values, past.disk_killed_at_bytes, notes)
    for resource in _RESOURCES:
        _order(values, resource, warnings)
    size = Size(**{f"{key}_{'millicores' if key.startswith('cpu') else 'bytes'}": value for key, value in values.items()})
    return SizeDecision(size=size, notes=notes, warnings=warnings)


def next_memory_limit(settings: Settings, killed_at_bytes: int) -> int | None:
    """Return the next memory limit up after a kill at `killed_at_bytes`; None if the caps leave none."""
    wanted = -(-killed_at_bytes * settings.memory.step_percent // 100)
    cap = _memory_cap(settings)
    if cap is None:
        return None
    size = min(wanted, cap)
    return size if size > killed_at_bytes else None


def _memory_cap(settings: Settings) -> int | None:
    """Return the most memory that a job may get: the limit's cap, else the request's."""
    kubernetes = settings.kubernetes
    text = kubernetes.memory_limit_overwrite_max_allowed or kubernetes.memory_request_overwrite_max_allowed
    return parse_bytes(text) if text else None


def _one(  # noqa: PLR0913, PLR0917 (the three lists and values of one decision)
    settings: Settings,
    variables: dict[str, str],
    key: str,
    helper: bool,  # noqa: FBT001 (passed through)
    measured: MeasuredSize | None,
    notes: list[str],
    warnings: list[str],
) -> int | None:
    """Return one bound of one resource, before the limits are derived."""
    parse = parse_millicores if key.startswith("cpu") else parse_bytes
    setting = f"helper_{key}" if helper else key
    default: str = getattr(settings.kubernetes, setting)
    cap_text: str = getattr(settings.kubernetes, f"{setting}_overwrite_max_allowed")
    variable = f"KUBERNETES_{setting.upper()}"
    asked = variables.get(variable, "").strip()
    value = parse(default) if default else None
    if measured is not None and not helper:
        found = _measured_value(measured, key)
        if found is not None:
            value = min(found, parse(cap_text)) if cap_text else found
            notes.append(f"{_title(setting)} is {_say(key, value)} from measured builds ({measured.source or 'sizes.json'})")
    if not asked:
        return value
    if not cap_text:
        notes.append(f"{variable} is ignored: kubernetes.{setting}_overwrite_max_allowed is not set")
        return value
    try:
        wanted = parse(asked)
    except QuantityError as error:
        raise RequestError(f"{variable}: {error}; correct the job's variable") from error
    cap = parse(cap_text)
    if wanted > cap and settings.oversize == "strict":
        raise RequestError(
            f'the resource "{_title(setting)}" requested {asked} is higher than limit allowed {cap_text}; '
            f"lower {variable}, or ask the operator to raise kubernetes.{setting}_overwrite_max_allowed"
        )
    if wanted > cap:
        warnings.append(f'"{_title(setting)}" {asked} is higher than allowed and was lowered to {cap_text}')
        return cap
    notes.append(f'"{_title(setting)}" overwritten with "{asked}"')
    return wanted


def _derive_memory_limit(settings: Settings, values: dict[str, int | None], notes: list[str]) -> None:
    """Set a memory limit from the request where the operator's policy says so and nothing else has set one."""
    request, percent = values["memory_request"], settings.kubernetes.memory_limit_percent
    if values["memory_limit"] is not None or request is None or percent == 0:
        return
    limit = max(-(-request * percent // 100), parse_bytes(settings.kubernetes.memory_limit_floor or "0"))
    cap = settings.kubernetes.memory_limit_overwrite_max_allowed
    limit = max(request, min(limit, parse_bytes(cap))) if cap else limit
    values["memory_limit"] = limit
    notes.append(f"memory limit {in_gib(limit)}: {percent} % of the request")


def _raise_memory(settings: Settings, values: dict[str, int | None], killed_at_bytes: int, notes: list[str]) -> None:
    """Give the job the next size up after an earlier attempt was killed for memory."""
    limit = next_memory_limit(settings, killed_at_bytes)
    if limit is None or (values["memory_limit"] or 0) >= limit:
        return
    cap = settings.kubernetes.memory_request_overwrite_max_allowed
    request = min(limit, parse_bytes(cap)) if cap else values["memory_request"] or 0
    values["memory_limit"] = limit
    values["memory_request"] = max(values["memory_request"] or 0, request) or None
    notes.append(f"memory raised to {in_gib(limit)}: an earlier attempt of this job was killed at {in_gib(killed_at_bytes)}")


def _raise_disk(settings: Settings, values: dict[str, int | None], killed_at_bytes: int, notes: list[str]) -> None:
    """Give the job the next disk limit up after an earlier attempt has passed its own; the cap is the limit's."""
    cap = settings.kubernetes.ephemeral_storage_limit_overwrite_max_allowed
    limit = min(-(-killed_at_bytes * settings.memory.step_percent // 100), parse_bytes(cap)) if cap else 0
    current = values["ephemeral_storage_limit"]
    if current is None or current >= limit:
        return
    values["ephemeral_storage_limit"] = limit
    notes.append(f"disk raised to {in_gib(limit)}: an earlier attempt of this job passed {in_gib(killed_at_bytes)}")


def _order(values: dict[str, int | None], resource: str, warnings: list[str]) -> None:
    """Make the limit at least the request: the API server refuses less."""
    request, limit = values[f"{resource}_request"], values[f"{resource}_limit"]
    if request is not None and limit is not None and limit < request:
        values[f"{resource}_request"] = limit
        warnings.append(f"{resource} request lowered to its limit, {_say(resource, limit)}")


def _measured_value(measured: MeasuredSize, key: str) -> int | None:
    return {
        "cpu_request": measured.cpu_millicores,
        "memory_request": measured.memory_bytes,
        "memory_limit": measured.memory_limit_bytes,
        "ephemeral_storage_request": measured.disk_bytes,
    }.get(key)


def _title(setting: str) -> str:
    """Return the official executor's name of a value: `MemoryRequest`."""
    return "".join(word.capitalize() for word in setting.split("_")).replace("Cpu", "CPU")


def _say(key: str, value: int) -> str:
    return format_millicores(value) if key.startswith("cpu") else format_bytes(value)
