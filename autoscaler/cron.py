"""When a period holds: the five fields of cron, in UTC. Pure. Source: crontab(5), without names, macros and seconds."""

import datetime as dt

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")


def fault_of(text: str) -> str:
    """Return what is wrong with an expression; "" if nothing is."""
    fields = text.split()
    if len(fields) != len(_RANGES):
        return f"{text!r} has {len(fields)} fields, not 5: minute, hour, day of month, month, day of week"
    for field, name, (least, most) in zip(fields, _FIELDS, _RANGES, strict=True):
        if _values(field, least, most) is None:
            return f"{text!r}: {field!r} is not a {name} between {least} and {most}"
    return ""


def holds(text: str, now: float) -> bool:
    """Return whether an expression holds in the minute of an instant; False if it is malformed."""
    if fault_of(text):
        return False
    try:
        at = dt.datetime.fromtimestamp(now, tz=dt.UTC)
    except (OverflowError, ValueError, OSError):
        return False
    minute, hour, day, month, weekday = (
        _values(field, least, most) or set() for field, (least, most) in zip(text.split(), _RANGES, strict=True)
    )
    on_day, on_weekday = at.day in day, bool({at.isoweekday() % 7, at.isoweekday()} & weekday)
    stars = text.split()[2].startswith("*"), text.split()[4].startswith("*")
    # crontab(5): if both days are restricted, either is enough
    on_date = (on_day and on_weekday) if any(stars) else (on_day or on_weekday)
    return at.minute in minute and at.hour in hour and at.month in month and on_date


def _values(field: str, least: int, most: int) -> set[int] | None:
    """Return the numbers that a field means; None if it is malformed."""
    found: set[int] = set()
    for part in field.split(","):
        written, _, step_text = part.partition("/")
        first, dash, last = written.partition("-")
        if written == "*":
            first, last = str(least), str(most)
        elif not dash:
            last = str(most) if step_text else first
        if not all(number.isascii() and number.isdecimal() for number in (first, last)):
            return None
        step = int(step_text) if step_text.isascii() and step_text.isdecimal() else 0 if "/" in part else 1
        if not (least <= int(first) <= int(last) <= most and step):
            return None
        found |= set(range(int(first), int(last) + 1, step))
    return found
