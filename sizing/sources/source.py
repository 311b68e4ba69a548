"""What a source of telemetry is, and what it yields. Pure values, and the names that the agent gives to objects."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sizing.documents import LARGEST_BYTES

TELEMETRY = "telemetry/v1/"
"""Below it the agent uploads documents: PLACE/DAY/NAME-VERSION-DIGEST.json."""
_DIGEST = re.compile(r"-([0-9a-f]{20})\.json$")
TOO_LARGE = f"larger than {LARGEST_BYTES >> 20} MiB, the most that telemetry may be"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document, or why it can't be read."""

    place: str
    """Where it lies, for people."""
    content: bytes = b""
    fault: str = ""
    """Empty if it was read."""


IsKnown = Callable[[str], bool]
"""Says whether the document with these first 20 digits of its digest need not be read."""


class Source(Protocol):
    """A place with documents."""

    name: str
    """Its identity, for people and for the history."""
    trusted: bool
    """Whether only protected jobs can write there."""
    has_days: bool
    """Whether documents lie in a folder for each day, so that old days need not be listed again."""

    def count(self, *, since: str, is_known: IsKnown) -> int:
        """Return how many documents `documents` would yield: a listing of its own, which another thread may make."""

    def documents(self, *, since: str, is_known: IsKnown) -> Iterator[Document]:
        """Yield the documents of the day `since` (`2026-11-30`; empty for all) and later ones, but those that are known."""


def digest_in(name: str) -> str:
    """Return the digits of the digest that the agent has put into a document's name; empty in any other name."""
    found = _DIGEST.search(name)
    return found[1] if found else ""


def place_of(path: str) -> str:
    """Return `protected` or `other`, where a path names the agent's places; else nothing."""
    _, telemetry, below = f"/{path}/".partition(f"/{TELEMETRY}")
    place = below.partition("/")[0]
    return place if telemetry and place in {"protected", "other"} else ""
