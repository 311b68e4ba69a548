"""How a status line is written: times, sizes, counts, and what fits into a terminal of so many columns. Pure."""

import unicodedata
from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DOTS = "..."


def elapsed(seconds: float) -> str:
    """Return a time as a clock shows it: `2:31`, `1:02:31`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: int) -> str:
    """Return a number of bytes in two or three digits, so that the line does not jump: `3.1 GiB`, `640 MiB`."""
    amount, unit = float(count), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit and amount < 9.95 else f"{amount:.0f} {_UNITS[unit]}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number of things: `1 retry`, `1,200 retries`."""
    return f"{number:,} {one if number == 1 else many}"


def shown(text: str, encoding: str) -> str:
    """Return foreign text as a terminal with this encoding shows it: without anything that moves its cursor."""
    harmless = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
    return harmless.encode(encoding, "backslashreplace").decode(encoding)


def cells(text: str) -> int:
    """Return how many columns a printable text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def fitting(forms: Sequence[str], columns: int) -> str:
    """Return the first of these forms of a line, the richest first, that fits; the last one is cut if none does."""
    for form in forms:
        if cells(form) <= columns:
            return form
    last = forms[-1] if forms else ""
    dots = _DOTS if columns > 2 * len(_DOTS) else ""
    kept, room = "", columns - len(dots)
    for each in last:
        room -= cells(each)
        if room < 0:
            break
        kept += each
    return kept.rstrip() + dots


def shortened(title: str, facts: Sequence[str]) -> list[str]:
    """Return the forms of `title (fact, fact)`, the richest first: the last facts are dropped, then the first."""
    given = [fact for fact in facts if fact]
    kept = [given[: len(given) - dropped] for dropped in range(len(given))]
    return [f"{title} ({', '.join(each)})" for each in kept] + [title]
