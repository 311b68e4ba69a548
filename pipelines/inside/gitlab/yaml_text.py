"""Writes GitLab's YAML: the same bytes for the same values, on every Python. Pure.

What YAML 1.1 could read as a number, a date, a boolean or nothing is quoted. Keys keep the order that they have.
Source: yaml.org, YAML 1.1 and 1.2, and what Ruby's Psych, which GitLab reads with, resolves without quotes.
"""

import json
import re
from typing import Any, Iterator, List, Mapping, Sequence

# one class, no alternatives: a text of any length takes one pass
_PLAIN = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./@+%=~^$, -]*(?<![, ])")
_SIMPLE = re.compile(r"[\x00-\x7e]*")
_NOT_TEXT = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])
_STEP = "  "


def document(value: Mapping[str, Any]) -> str:
    """Return a YAML document."""
    return "\n".join(_mapping(value, "")) + "\n"


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        for line in _entry(f"{indent}{scalar(str(key))}:", item, indent):
            yield line


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        for line in _mapping(item, indent + _STEP):
            yield line
    elif _is_list(item) and item:
        yield head
        for line in _list(item, indent):
            yield line
    else:
        yield f"{head} {scalar(item)}"


def _list(items: Sequence[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping) and item:
            lines = list(_mapping(item, indent + _STEP))
        elif _is_list(item) and item:
            lines = list(_list(item, indent + _STEP))
        else:
            lines = [indent + _STEP + scalar(item)]
        yield f"{indent}- {lines[0][len(indent) + 2 :]}"
        for line in lines[1:]:
            yield line


def _is_list(item: Any) -> bool:
    return isinstance(item, (list, tuple))


def scalar(value: Any) -> str:
    """Return a text, number, boolean, nothing, or an empty list or mapping, as YAML in one line."""
    if isinstance(value, Mapping):
        return "{}"
    if _is_list(value):
        return "[]"
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
        return value if is_plain else quoted(value)
    text = json.dumps(value)
    # YAML 1.1 reads a number with an exponent only with a point
    return text.replace("e", ".0e", 1) if isinstance(value, float) and "e" in text and "." not in text else text


def quoted(text: str) -> str:
    """Return a text in double quotes, in ASCII: what JSON writes, but letters beyond 16 bits as YAML writes them."""
    if _SIMPLE.fullmatch(text):
        return json.dumps(text)
    parts: List[str] = []
    for letter in text:
        code = ord(letter)
        if code > 0xFFFF:
            parts.append(f"\\U{code:08x}")
        elif 0xD800 <= code <= 0xDFFF:  # half of a pair, which no encoding can write
            parts.append("\\ufffd")
        elif code == 0x7F:
            parts.append("\\x7f")
        else:
            parts.append(json.dumps(letter)[1:-1])
    return '"{}"'.format("".join(parts))


def parsed_bytes(value: Any) -> int:
    """Return at least the memory that GitLab counts for a parsed document, against `max_yaml_size_bytes`.

    Source: GitLab, Gitlab::Utils::DeepSize: the sum of Ruby's `ObjectSpace.memsize_of`, keys included. A short text takes
    40 bytes, a longer one its bytes too; a list 40 and 8 for each item; a mapping of up to eight 192, a larger one a table.
    """
    if isinstance(value, Mapping):
        own = 192 if len(value) <= 8 else 256 + 80 * len(value)
        return own + sum(parsed_bytes(str(key)) + parsed_bytes(item) for key, item in value.items())
    if _is_list(value):
        return 40 + 8 * len(value) + sum(parsed_bytes(item) for item in value)
    if isinstance(value, str):
        size = len(value.encode("utf-8", "replace"))
        return 40 if size <= 23 else 48 + size
    return 40
