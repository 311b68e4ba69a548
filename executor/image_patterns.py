"""Patterns of `allowed_images`, as the official executor reads them: `*` ends at a slash, `**` does not. Pure.

Source: gitlab-runner common/allowed_images.go, which uses github.com/bmatcuk/doublestar.
"""

import functools
import re

_PARTS = re.compile(r"/\*\*(?=/|$)|(?<![^/])\*\*/|\*+|\?|\[[!^]?[^\]]+\]|\{|\}|,|\\.|.", re.DOTALL)


def matches(pattern: str, image: str) -> bool:
    """Return whether an image's name matches a pattern; a pattern that is not one matches nothing."""
    expression = _expression(pattern)
    return expression is not None and expression.fullmatch(image) is not None


@functools.cache
def _expression(pattern: str) -> re.Pattern[str] | None:
    out, depth = [], 0
    for part in _PARTS.findall(pattern) if pattern != "**" else ["**/", "*"]:
        depth += {"{": 1, "}": -1}.get(part, 0)
        out.append(_translated(part, is_in_braces=depth > 0))
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        return None


def _translated(part: str, *, is_in_braces: bool) -> str:
    """Return one part of a pattern as a regular expression."""
    match part:
        case "/**":
            return "(?:/.*)?"
        case "**/":
            return "(?:.*/)?"
        case "?":
            return "[^/]"
        case "{":
            return "(?:"
        case "}":
            return ")"
        case "," if is_in_braces:
            return "|"
    if set(part) == {"*"}:
        return "[^/]*"
    if part[0] == "[" and len(part) > 1:
        inner = part[1:-1].replace("\\", "\\\\")
        return f"[^/{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
    return re.escape(part[1:] if part[0] == "\\" and len(part) > 1 else part)
