"""Clamps the numbers of any telemetry document: each becomes finite and within what a machine can have.

A document may come from elsewhere and hold a million digits or, in memory, NaN. Page and terminal table clamp it first, and
can then calculate with any number of it. Texts stay as they are.
"""

import math
from typing import TypeVar, cast

import msgspec

_MOST_INTEGER = 1 << 60
_MOST_FLOAT = 1e12

_Value = TypeVar("_Value")


def clamp_numbers(value: _Value) -> _Value:
    """Return a copy in which numbers beyond all machines become a bound, and NaN becomes 0; the shape stays."""
    return cast("_Value", _clamp(value))


def _clamp(value: object) -> object:
    match value:
        case bool() | str():
            return value
        case int():
            return min(max(value, -_MOST_INTEGER), _MOST_INTEGER)
        case float():
            return 0.0 if math.isnan(value) else min(max(value, -_MOST_FLOAT), _MOST_FLOAT)
        case list():
            return [_clamp(item) for item in value]
        case msgspec.Struct():
            fields = value.__struct_fields__
            return msgspec.structs.replace(value, **{name: _clamp(getattr(value, name)) for name in fields})
        case _:
            return value
