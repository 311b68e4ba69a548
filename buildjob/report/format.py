"""Writes figures for people: bytes, seconds, cores, shares. Pure; plain ASCII, so that every terminal shows it.

Knows no document and no page. Binary units as Kubernetes writes them (Ki = 1024), three significant digits.
"""

import math

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# A hostile document may hold numbers that no float or no page can: figures end here, far above any machine.
_MOST_BYTES = 1 << 80
_MOST = 1e12


def format_bytes(count: int) -> str:
    """Return a number of bytes with a unit, three significant digits; exact multiples lose their zeros (`2 GiB`)."""
    if count < 0:
        return f"-{format_bytes(-count)}"
    size = float(min(count, _MOST_BYTES))
    unit = 0
    while size >= 999.5 and unit < len(_BYTE_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{_three_digits(size)} {_BYTE_UNITS[unit]}"


def format_seconds(seconds: float) -> str:
    """Return a duration with its two leading units: `4.31 s`, `41.3 s`, `2 min 31 s`, `1 h 02 min`, `3 d 04 h`.

    Only nothing reads `0 s`: what is less than the last digit reads `< 0.01 s`. An infinite number or NaN reads `unknown`.
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 0:
        return f"-{format_seconds(-seconds)}"
    if seconds < 0.005:
        return "< 0.01 s" if seconds else "0 s"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(min(seconds, _MOST))
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    minutes = round(whole / _MINUTE)
    if minutes * _MINUTE < _DAY:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(whole / _HOUR)
    return f"{hours // 24} d {hours % 24:02d} h"


def format_cores(cores: float) -> str:
    """Return a number of cores, three significant digits: `1.66 cores`, `1 core`; `unknown` if it is not finite."""
    if not math.isfinite(cores):
        return "unknown"
    if cores < 0:
        return f"-{format_cores(-cores)}"
    if 0 < cores < 0.005:
        return "< 0.01 cores"
    return f"{_three_digits(min(cores, _MOST), decimals=2)} {'core' if cores == 1 else 'cores'}"


def format_core_number(cores: float) -> str:
    """Return a number of cores without its unit."""
    return format_cores(cores).removesuffix(" cores").removesuffix(" core")


def format_share(part: float, whole: float) -> str:
    """Return `part` of `whole` in percent; an empty text if that has no meaning."""
    if not (whole > 0 and part >= 0 and math.isfinite(part) and math.isfinite(whole)):
        return ""
    percent = 100 * min(part / whole, 1e6)
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def format_tenths(tenths: int, *, is_zero: bool) -> str:
    """Return tenths of a percent in percent. Only what `is_zero` reads `0 %`."""
    if tenths == 0:
        return "0 %" if is_zero else "< 0.1 %"
    return f"{tenths / 10:.1f} %"


def format_part(part: int, whole: int, *, of: str = "of") -> str:
    """Return `part` of `whole`, to be followed by what the whole is: `84 % of 512 MiB`, `1.68 times the 512 MiB`."""
    if part > whole:
        return f"{_three_digits(min(part / whole, _MOST), decimals=2)} times the {format_bytes(whole)}"
    return f"{format_share(part, whole)} {of} {format_bytes(whole)}"


def round_up_bytes(count: int) -> int:
    """Return a size to ask for: not less than `count`, at most an eighth more, a multiple of 64 MiB."""
    step = max(64 << 20, 1 << max(0, count.bit_length() - 4))
    return -(-max(count, 1) // step) * step


def _three_digits(value: float, *, decimals: int = 3) -> str:
    if value == int(value):
        return f"{int(value)}"
    for digits, bound in ((3, 0.9995), (2, 9.995), (1, 99.95)):
        if value < bound:
            return f"{value:.{min(digits, decimals)}f}"
    return f"{value:.0f}"


def format_count(number: int, one: str, many: str = "") -> str:
    """Return a number of things: `1 blob`, `2 blobs`; `many` where more than one is not written with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
