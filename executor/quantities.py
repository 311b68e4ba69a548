"""Quantities as people write them: read exactly, and rejected with the likely meaning if no container can live with them.

Kubernetes reads `512m` of memory as half a byte and `4000` CPUs as four thousand, and fails much later in other words. Pure.
Source of the bounds: with a limit of 3 MB, containerd 1.6 and runc 1.1 cannot even make a pod's sandbox; 4 MB run a shell.
"""

import enum
import re

from executor.units import QuantityError, parse_bytes, parse_millicores


class Kind(enum.Enum):
    """What a quantity counts; the values are the resources' names in Kubernetes."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "ephemeral-storage"


class Use(enum.Enum):
    """What a quantity is for; 0 has a meaning for a request only: nothing is asked for."""

    REQUEST = "request"
    LIMIT = "limit"
    CAP = "cap"
    FLOOR = "floor"


LEAST_MEMORY_LIMIT_BYTES = 4_000_000
_LEAST_BYTES = {
    Use.LIMIT: LEAST_MEMORY_LIMIT_BYTES,
    Use.CAP: LEAST_MEMORY_LIMIT_BYTES,
    Use.REQUEST: 1_000_000,
    Use.FLOOR: 1_000_000,
}
_LEAST_DISK_BYTES = 1_000_000
_MOST = {Kind.CPU: 1_000_000, Kind.MEMORY: 10**15, Kind.DISK: 10**18}
_MOST_TEXT = {Kind.CPU: "1000 cores", Kind.MEMORY: "1 PB", Kind.DISK: "1 EB"}
_WRITTEN = re.compile(r"\s*([+]?(?:\d+\.?\d*|\.\d+))\s*([A-Za-z]*)\s*", re.ASCII)
_LETTERS = "kmgtpe"
_CORE_WORDS = frozenset({"c", "core", "cores", "cpu", "cpus", "vcpu", "vcpus"})


def read_quantity(text: str, kind: Kind, use: Use) -> int:
    """Return a quantity in thousandths of a core, or in bytes.

    Raises QuantityError, with what was likely meant, if the text is not a quantity, or one that no container can live with.
    """
    try:
        value = parse_millicores(text) if kind is Kind.CPU else parse_bytes(text)
    except QuantityError as error:
        raise QuantityError(f"{error}{_question(text, kind, use)}".removesuffix(".")) from None
    fault = fault_of(value, kind, use)
    if not fault:
        return value
    raise QuantityError(f"{text.strip()} is {_in_words(text, kind)}{_question(text, kind, use)} {fault}")


def fault_of(value: int, kind: Kind, use: Use) -> str:
    """Return why no container can live with a value, as a sentence; "" if one can."""
    if value == 0:
        return "" if use in {Use.REQUEST, Use.FLOOR} else "To Kubernetes a limit of 0 is no limit at all; omit it instead"
    least = 1 if kind is Kind.CPU else _LEAST_DISK_BYTES if kind is Kind.DISK else _LEAST_BYTES[use]
    if value < least:
        return f"A container cannot live with less than {least // 1_000_000} MB"
    if use is not Use.CAP and value >= _MOST[kind]:
        return f"No node has {_MOST_TEXT[kind]}"
    return ""


def core_hint(text: str, cap_millicores: int) -> str:
    """Return ` (500 is 500 cores; 500m?)` if a number of cores exceeds a cap that it would keep as thousandths; else ""."""
    written = _WRITTEN.fullmatch(text)
    if written is None or written[2] or not written[1].isdecimal() or int(written[1]) > cap_millicores:
        return ""
    return f" ({written[1]} is {written[1]} cores; {written[1]}m?)"


def _in_words(text: str, kind: Kind) -> str:
    """Return `0.5 bytes`, `4000 cores`."""
    value = parse_millicores(text) / 1000
    shown = f"{value:.1g}" if value < 1 else f"{value:.1f}".removesuffix(".0")
    unit = "core" if kind is Kind.CPU else "byte"
    return f"{shown} {unit}" if shown == "1" else f"{shown} {unit}s"


def _question(text: str, kind: Kind, use: Use) -> str:
    """Return `; 512M or 512Mi?`: what was likely meant; `.` if nothing is likely."""
    sound = ([one for one in group if one != text.strip() and _is_sound(one, kind, use)] for group in _likely(text, kind))
    likely = next(filter(None, sound), [])
    return f"; {' or '.join(likely)}?" if likely else "."


def _is_sound(text: str, kind: Kind, use: Use) -> bool:
    try:
        return not fault_of(parse_millicores(text) if kind is Kind.CPU else parse_bytes(text), kind, use)
    except QuantityError:
        return False


def _likely(text: str, kind: Kind) -> list[list[str]]:
    """Return groups of quantities that a text may have meant, the likeliest first; not all of them are sound."""
    written = _WRITTEN.fullmatch(text[:64])
    if written is None or not float(written[1]):
        return []
    number, word = written[1].lstrip("+"), written[2].lower()
    if kind is Kind.CPU:
        if word in {"", "m"}:
            return [[f"{number}m"]]
        return [[number]] if word in _CORE_WORDS or word[:1] in _LETTERS else []
    letter = word[:1] or ("g" if float(number) < 64 else "m" if float(number) < 100_000 else "k")
    if letter not in _LETTERS or word.removeprefix(letter) not in {"", "b", "i", "ib", "byte", "bytes"}:
        return []
    # A size that is far too small was hardly meant in its own unit: offer the larger ones too.
    letters = _LETTERS[_LETTERS.index(letter) :]
    pairs = [[f"{number}{'k' if one == 'k' else one.upper()}", f"{number}{one.upper()}i"] for one in letters]
    return [pair[1:] if "i" in word else pair for pair in pairs]
