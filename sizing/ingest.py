"""The story "ingest": documents of a source into the history, in parts, so that an interrupted call has kept what it read.

A document's identity is its digest: a second reading changes nothing. Places with a folder for each day are listed from
7 days before the last listing: documents lie under the day on which their build began, and may be uploaded late.
"""

import datetime as dt
import hashlib
from collections import Counter
from dataclasses import dataclass, field

from sizing.builds import Build
from sizing.documents import Refused, printable, read_build
from sizing.history.history import History
from sizing.sources.source import Document, Source
from status_line.progress import Progress

LATE_DAYS = 7
_PART = 500
_DAY_SECONDS = 86_400.0
_CLOCKS_DIFFER = 3_600.0


@dataclass
class Tally:
    """What has become of the documents that were read."""

    read: int = 0
    new: int = 0
    trusted: int = 0
    """Of the new ones, those that sizes may be computed from."""
    known: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    """By reason, without its particulars."""


def ingest(source: Source, history: History, *, now: float, again: bool, progress: Progress) -> Tally:
    """Read a source into the history; with `again`, also days and documents that were read before.

    `progress` counts them, with their bytes. Raises SourceError, HistoryError.
    """
    tally = Tally()
    since, skipped = "", set[str]()
    if source.has_days and not again:
        listed = history.listed(source.name)
        # a listing that is yet to come was made by a wrong clock: it says nothing of what has been read
        since = "" if listed is None or listed > now + _CLOCKS_DIFFER else _day(listed - LATE_DAYS * _DAY_SECONDS)
    if not again:
        skipped = {digest[:20] for digest in history.digests(trusted=source.trusted)}
    is_known = skipped.__contains__
    progress.count = lambda: source.count(since=since, is_known=is_known)
    progress.begin()
    part: list[Document] = []
    try:
        for document in source.documents(since=since, is_known=is_known):
            part.append(document)
            if len(part) == _PART:
                whole, part = part, []
                _take(whole, history, tally, trusted=source.trusted, now=now)
                progress.add(len(whole), size_bytes=sum(len(document.content) for document in whole))
    finally:
        # what was read before a source failed or an interrupt came counts
        if part:
            _take(part, history, tally, trusted=source.trusted, now=now)
            progress.add(len(part), size_bytes=sum(len(document.content) for document in part))
    if source.has_days:
        history.set_listed(source.name, at=now)
    return tally


def _take(part: list[Document], history: History, tally: Tally, *, trusted: bool, now: float) -> None:
    builds: dict[str, Build] = {}
    aside: dict[str, tuple[str, str, str]] = {}
    for document in part:
        try:
            if document.fault:
                raise Refused(document.fault)  # noqa: TRY301 (one fate for both)
            build = read_build(document.content, trusted=trusted, now=now)
        except Refused as reason:
            # what may be read later keeps the identity of its place: its own would be passed over from now on
            content = document.content if reason.is_final else b""
            digest = hashlib.sha256(content).hexdigest() if content else _of_place(document)
            aside[digest] = (digest, printable(document.place), printable(str(reason)))
        else:
            builds[build.digest] = build
    known = history.known(list(builds))
    new = [build for digest, build in builds.items() if digest not in known]
    history.add([*new, *(build for digest, build in builds.items() if build.trusted and known.get(digest) is False)])
    history.forget_aside([_of_place(document) for document in part])
    history.set_aside(aside.values(), now=now)
    tally.read += len(part)
    tally.new += len(new)
    tally.trusted += sum(build.trusted for build in new)
    tally.known += len(part) - len(new) - len(aside)
    tally.aside.update(reason.partition(":")[0] for _, _, reason in aside.values())


def _of_place(document: Document) -> str:
    return hashlib.sha256(document.place.encode("utf-8", "surrogateescape")).hexdigest()


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).date().isoformat()
