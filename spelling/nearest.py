"""The known name that is most like one that is unknown, and how messages offer it.

Case, and whether words are joined by `-` or `_`, count for nothing: who mixes them up has found the name.
"""

from collections.abc import Iterable

LIKENESS = 0.7
"""Least likeness of a name to one that may be meant, where 1 is the same; below it `later` is like `clusters`."""
_LIKENESS_OF_ENDS = 0.8
_LEAST_BEGINNING = 3


def nearest(name: str, known: Iterable[str], *, after: str = "", likeness: float = LIKENESS, whole: bool = False) -> str:
    """Return the known name that is most like a name, "" if none is.

    A name that is only the beginning or the end of a known one means that, unless `whole` names are asked for: `timeout` is
    `timeout_seconds`, `mem` is `memory`.
    `after` is what all of them begin with: it makes no name more like another.
    """
    import difflib  # noqa: PLC0415  only for a fault: it costs more than all the rest of many a verb's --help

    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(_fold(one.removeprefix(after)), one)
    wanted = _fold(name).removeprefix(_fold(after))
    parts = {} if whole else _ends(folded)
    for names, least in ((folded, likeness), (parts, max(likeness, _LIKENESS_OF_ENDS))):
        if found := difflib.get_close_matches(wanted, names, n=1, cutoff=least):
            return names[found[0]]
    is_long = len(wanted) >= _LEAST_BEGINNING and not whole
    begun = [one for one in folded if is_long and one.startswith(wanted)]
    return folded[min(begun, key=len)] if begun else ""


def same(name: str, known: Iterable[str]) -> str:
    """Return the known name that differs in case and joins alone, "" if none does."""
    wanted = _fold(name)
    return next((one for one in known if _fold(one) == wanted), "")


def did_you_mean(name: str, known: Iterable[str], *, after: str = "") -> str:
    """Return ` (did you mean NAME?)`, to be put behind a name that is unknown; "" if none is near."""
    near = nearest(name, known, after=after)
    return f" (did you mean {near}?)" if near else ""


def _ends(folded: dict[str, str]) -> dict[str, str]:
    """Return what names begin with, up to any `_`, then what they end with, each with the shortest name that does."""
    names = [(name.split("_"), folded[name]) for name in sorted(folded, key=len)]
    found: dict[str, str] = {}
    for words, name in names:
        for count in range(1, len(words)):
            found.setdefault("_".join(words[:count]), name)
    for words, name in names:
        for count in range(1, len(words)):
            found.setdefault("_".join(words[count:]), name)
    return found


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")
