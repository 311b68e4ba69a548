"""Variables of the environment that one of our programs would have read if they were spelled as it knows them. Pure."""

from collections.abc import Collection, Iterable, Iterator

from spelling.nearest import did_you_mean, nearest

_ALIKE = 0.85
"""Least likeness of a variable to one of ours where nothing else says that it is: other programs have variables, too."""


def unknown_variables(given: Iterable[str], known: Collection[str], prefix: str) -> list[tuple[str, str]]:
    """Return each variable with a prefix, in whatever case, that is not known, and the offer of one that is: may be ""."""
    begun = (name for name in sorted(given) if name.upper().startswith(prefix) and name not in known)
    return [(name, did_you_mean(name, known, after=prefix)) for name in begun]


def likely_slips(given: Iterable[str], known: Collection[str], *, mark: str, spared: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a sentence for each variable that is not known and nearly one that is, and so gives nothing.

    Only those that have the `mark` count, and none that begins with one of `spared`: others answer for these.
    """
    for name in sorted(given):
        if mark in name.upper() and name not in known and not name.upper().startswith(spared):
            near = nearest(name, known, likeness=_ALIKE, whole=True)
            if near:
                yield f"the variable {name} is ignored (did you mean {near}?)"
