"""Which packages failed at their last run: what a maintainer asks first. Pure."""

from collections.abc import Iterable

from buildjob.report.explain import Tone
from buildjob.report.many.entries import Entry


def failing(entries: Iterable[Entry]) -> list[Entry]:
    """Return the last run of each package whose last run failed: those that have an error of their own first.

    `entries` are newest first. A package is known by name, version, architecture and stack of machines: a build of another
    version does not mend it.
    """
    seen: dict[tuple[str, str, str, str], Entry] = {}
    for entry in entries:
        if entry.tone is not Tone.OPEN:  # one that is still running says nothing yet
            seen.setdefault((entry.name, entry.version, entry.architecture, entry.compiler), entry)
    bad = [entry for entry in seen.values() if entry.tone is Tone.BAD]
    return sorted(bad, key=lambda entry: bool(entry.failed))
