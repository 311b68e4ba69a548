"""A copy of all objects of one kind, kept up by a list and then a watch, in a thread of its own.

What is kept is what `read` makes of an object, so memory grows with what is needed of it. A broken watch goes on where it
was; one that is too old (410) begins anew with a list. Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import random
import threading
import time
from collections.abc import Callable
from logging import INFO
from typing import Generic, TypeVar

import msgspec

from autoscaler.cluster.api import Api, decoded, error_of
from autoscaler.cluster.objects import Bookmark, EventType, NodeClaimObject, NodeObject, PodObject, Status
from autoscaler.errors import ClusterError, ClusterUnavailable, Expired
from autoscaler.outages import Outage

_Object = TypeVar("_Object", PodObject, NodeObject, NodeClaimObject)
_Kept = TypeVar("_Kept")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Mirror(Generic[_Object, _Kept]):
    """The copy. Reading it never waits for the API server."""

    def __init__(  # noqa: PLR0913 (what differs between kinds, and the clock)
        self,
        api: Api,
        kind: str,
        item: type[_Object],
        read: Callable[[_Object], _Kept | None],
        *,
        on_change: Callable[[_Object, str], None] = lambda _found, _change: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_change` is called, in the thread, with each object and `listed`, `ADDED`, `MODIFIED` or `DELETED`."""
        self.kind = kind
        self.read_at: float | None = None
        """When the copy was last known to be right; None before the first list."""
        self.fault = ""
        """Why the last call failed; "" since one went well."""
        self.lists = 0
        """How often it began anew."""
        self.changes = 0
        """How often it was given something new."""
        self._api, self._clock = api, clock
        self._item: type[_Object] = item
        self._read: Callable[[_Object], _Kept | None] = read
        self._on_change: Callable[[_Object, str], None] = on_change
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._envelope = msgspec.json.Decoder(EventType)
        self._object: msgspec.json.Decoder[_Object] = msgspec.json.Decoder(item)
        self._outage = Outage("the cluster cannot be read", "the cluster can be read again")
        self._cuts = Outage("the watch broke, going on", "the watch holds again", level=INFO)
        self._thread = threading.Thread(target=self._run, name=f"mirror of {kind}", daemon=True)

    def start(self) -> None:
        """Begin; `read_at` says when the first list is there."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; the thread may still wait for the server."""
        self._end.set()

    def values(self) -> tuple[_Kept, ...]:
        """Return what is kept, in no order."""
        with self._lock:
            return tuple(self._kept.values())

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        version = ""
        while not self._end.is_set():
            try:
                if not version:
                    version = self._list()
                version = self._follow(version)
                pause = _FIRST_PAUSE
                continue
            except Expired as expired:
                self._cuts.failed(expired, kind=self.kind)
                version = ""
            except _Broken as broken:
                version = broken.version
                # A watch that was accepted and then broke is a cut; a server that accepts none cannot be read.
                outage = self._cuts if broken.was_accepted else self._outage
                outage.failed(broken.cause, kind=self.kind)
                if broken.was_useful:
                    pause = _FIRST_PAUSE
            except ClusterError as error:
                self.fault = str(error)
                self._outage.failed(error, kind=self.kind)
            except Exception as error:  # noqa: BLE001  a bug in reading one object must not end the copy silently
                self._outage.failed(error, is_bug=True, kind=self.kind)
                version = ""
            self._end.wait(pause * (0.5 + random.random()))  # noqa: S311 (spreads requests)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _list(self) -> str:
        """Replace the copy by a whole list; return the version that it shows."""
        began = self._clock()
        fresh: dict[str, _Kept] = {}
        version = ""
        for page in self._api.pages(self.kind, self._item):
            version = page.metadata.resource_version
            for found in page.items:
                self._on_change(found, "listed")
                kept = self._read(found)
                if kept is not None:
                    fresh[found.metadata.uid] = kept
        with self._lock:
            self._kept = fresh
        self.fault = ""
        self.lists += 1
        self.changes += 1
        self.read_at = began
        return version

    def _follow(self, version: str) -> str:
        """Take one watch to its orderly end; return the version that it came to. Raises Expired, _Broken."""
        began, was_accepted = version, False
        try:
            for line in self._api.watch(self.kind, version):
                # A quiet cluster sends nothing: that a watch is accepted says as much as an event.
                self.read_at, was_accepted = self._clock(), True
                self._outage.worked(kind=self.kind)
                self._cuts.worked(kind=self.kind)
                if line:
                    version = self._take(line) or version
        except Expired:
            raise
        except ClusterError as error:
            raise _Broken(version, was_useful=version != began, was_accepted=was_accepted, cause=error) from error
        self.read_at = self._clock()
        return version

    def _take(self, line: bytes) -> str:
        """Carry out one event; return the version that it brings."""
        event = decoded(self._envelope, line, self.kind)
        if event.type == "BOOKMARK":  # its object is empty but for the version
            return decoded(_BOOKMARK, event.object, self.kind).metadata.resource_version
        if event.type == "ERROR":
            status = decoded(_STATUS, event.object, self.kind)
            raise error_of(status.code, event.object)
        found = decoded(self._object, event.object, self.kind)
        self._on_change(found, event.type)
        kept = None if event.type == "DELETED" else self._read(found)
        with self._lock:
            if kept is None:
                self._kept.pop(found.metadata.uid, None)
            else:
                self._kept[found.metadata.uid] = kept
        self.changes += 1
        version: str = found.metadata.resource_version
        return version


_STATUS = msgspec.json.Decoder(Status)
_BOOKMARK = msgspec.json.Decoder(Bookmark)


class _Broken(ClusterUnavailable):
    """A watch ended early; the next one goes on from `version`."""

    def __init__(self, version: str, *, was_useful: bool, was_accepted: bool, cause: ClusterError) -> None:
        super().__init__(str(cause))
        self.version, self.was_useful, self.was_accepted, self.cause = version, was_useful, was_accepted, cause
