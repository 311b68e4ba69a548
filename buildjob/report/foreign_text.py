"""Makes foreign text harmless to look at: what a terminal or a browser would act on becomes a visible escape.

Foreign are names, commands, URLs and log lines: they come from packages and from users. Knows neither HTML nor the colors of
the terminal table.
"""

import re
import unicodedata

# ECMA-48: CSI sequences, OSC and other strings up to their terminator, two-character escapes. A string without an end is
# not a sequence: its ESC stays and is shown.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]{0,2000}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,8}[0-OQ-WYZ\\`-~]"
)


def strip_ansi(text: str) -> str:
    """Return the text without terminal sequences: colors, cursor movements, window titles, hyperlinks."""
    return _ANSI.sub("", text)


def escape_controls(text: str) -> str:
    r"""Return the text with everything unprintable written as Python writes it: `\x00`, `\u202e`, `\U000e0001`.

    Unprintable are control and format characters (bidirectional overrides, zero width), separators other than the plain
    space, unassigned and private characters. An undecodable byte (a lone surrogate from `surrogateescape`) reads `\xff`.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(ord(character)) for character in text)


def to_ascii(text: str) -> str:
    """Return the text as a terminal under `LC_ALL=C` can show it; other characters become escapes."""
    return escape_controls(text).encode("ascii", "backslashreplace").decode("ascii")


def escape_and_cut(text: str, *, limit: int) -> str:
    """Return the text with escapes for what is unprintable, and at most `limit` characters of that.

    If it is cut, its length follows.
    """
    shown = escape_controls(text[:limit])
    if len(text) <= limit and len(shown) <= limit:
        return shown
    return f"{shown[:limit]} … (cut: {len(text):,} characters)"


def cut(text: str, *, limit: int) -> str:
    """Return at most `limit` characters; three dots say that more followed."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def count_cells(text: str) -> int:
    """Return how many columns of a terminal the text takes up: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
