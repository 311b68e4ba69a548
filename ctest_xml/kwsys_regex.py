r"""Translates kwsys regular expressions, those of CTest's tables, into what RE2 and Python have in common.

The trap: inside `[...]` a backslash is an ordinary letter, so CTest's `[ \t]` means space, backslash or the letter t,
not TAB. Outside, a backslash makes the next character literal; there are no `{}`, no classes such as `\d` and no lazy
quantifiers.
Source: CMake, Source/kwsys/RegularExpression.hxx.in and .cxx.
"""

_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_OPERATORS = frozenset("^$.|?+*)")


def translate(pattern: str, *, tab: bool = False) -> str:
    r"""Return a pattern that finds the same in a line, and matches within one line of a block.

    With `tab`, `\t` in brackets means TAB, which the authors of the tables meant. Groups keep their numbers.
    Raises ValueError for an incomplete pattern.
    """
    out = []
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "[":
            translated, at = _bracket(pattern, at + 1, tab=tab)
            out.append(translated)
            continue
        if letter == "\\":
            at += 1
            if at == len(pattern):
                raise ValueError(f"trailing backslash in {pattern!r}")
            out.append(_literal(pattern[at]))
        else:
            out.append(letter if letter in _OPERATORS or letter == "(" else _literal(letter))
        at += 1
    return "".join(out)


def _bracket(pattern: str, at: int, *, tab: bool) -> tuple[str, int]:
    negated = pattern[at : at + 1] == "^"
    start = at + negated
    end = pattern.find("]", start + 1)  # a `]` in first place is literal
    if end < 0:
        raise ValueError(f"bracket without end in {pattern!r}")
    body = pattern[start:end]
    if tab:
        body = body.replace("\\t", "\t")
    inner = "".join("\\" + letter if letter in r"\[]" else letter for letter in body)
    # kwsys sees one line at a time; in a block, a negated bracket would match the line's end.
    return f"[^{inner}\n]" if negated else f"[{inner}]", end + 1


def _literal(letter: str) -> str:
    return "\\" + letter if letter in _SPECIAL else letter
