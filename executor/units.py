"""Kubernetes quantities as exact integers, and sizes for people.

Source: Kubernetes apimachinery, pkg/api/resource/quantity.go. Fractions round up, as Kubernetes does.
"""

import re

_SYNTAX = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,3})?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_LONGEST = 64


class QuantityError(ValueError):
    """The text is not a quantity, or a negative one."""


def parse_bytes(text: str) -> int:
    """Return a memory or storage quantity in bytes. Raises QuantityError naming the text."""
    return _scaled(text, power=0)


def parse_millicores(text: str) -> int:
    """Return a CPU quantity in thousandths of a core. Raises QuantityError naming the text."""
    return _scaled(text, power=3)


def format_millicores(value: int) -> str:
    """Return a quantity that the API server reads as exactly `value` thousandths of a core."""
    return str(value // 1000) if value % 1000 == 0 else f"{value}m"


def format_bytes(value: int) -> str:
    """Return the shortest binary quantity that is exactly `value` bytes."""
    for suffix, bits in reversed(_BINARY.items()):
        if value and value % (1 << bits) == 0:
            return f"{value >> bits}{suffix}"
    return str(value)


def in_gib(value: int) -> str:
    """Return bytes for people: `11.8 GiB`, `64 MiB` below a GiB, `12 KiB` below a MiB. Only nothing reads `0 MiB`."""
    kib = -(-value // 1024)
    if 0 < kib < 1 << 10:
        return f"{kib} KiB"
    if value < 1023.5 * (1 << 20):  # above it, rounded, are 1024 MiB
        return f"{value / (1 << 20):.0f} MiB"
    return f"{value / (1 << 30):.1f} GiB"


def in_cores(millicores: float) -> str:
    """Return a CPU size for people: `3.4`, `4`, `0.05`. Only nothing reads `0`."""
    if 0 < millicores < 95:
        return f"{max(millicores, 1) / 1000:.3f}".rstrip("0")
    return f"{millicores / 1000:.1f}".removesuffix(".0")


def in_time(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `41 s`, `41 min`, `3.2 h`. No time is negative, and none reads `0 s`."""
    if seconds < 0.95:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _scaled(text: str, *, power: int) -> int:
    """Return the quantity times 10 ** power, rounded up."""
    match = _SYNTAX.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None or not (match[2] or match[3]):
        raise QuantityError(f"{text[:_LONGEST]!r} is not a quantity, such as 500m, 2G or 1.5Gi")
    if match[1] == "-":
        raise QuantityError(f"{text!r} is negative")
    fraction, suffix = match[3] or "", match[4] or ""
    numerator = int(match[2] + fraction)
    exponent = power - len(fraction)
    if suffix in _BINARY:
        numerator <<= _BINARY[suffix]
    elif suffix in _DECIMAL:
        exponent += _DECIMAL[suffix]
    else:
        exponent += int(suffix[1:])
    if exponent >= 0:
        return int(numerator * 10**exponent)
    return int(-(-numerator // 10**-exponent))
