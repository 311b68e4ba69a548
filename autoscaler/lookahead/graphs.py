"""Job graphs of the pipelines whose jobs have pods, read from the mirror in a thread. No decision waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from autoscaler.cluster import names
from autoscaler.cluster.objects import PodObject
from autoscaler.errors import CloudError
from autoscaler.lookahead.progress import LARGEST_BYTES, GraphObject, Progress, manifest_path, read_graph
from autoscaler.lookahead.store import Store
from autoscaler.outages import Outage
from autoscaler.snapshot import Graph, Pod

_FORGET_SECONDS = 3600.0
"""A pipeline without a pod for so long is over: between two of its jobs there may be minutes."""
_AGAIN_SECONDS = 60.0
"""A graph that was not there is asked for again after it."""
_MOST_GRAPHS = 32
_MOST_QUESTIONS = 200
_LOG = logging.getLogger("spack_farm.autoscaler")
_Note = tuple[str, str, str, str]


class Graphs:
    """The graphs, and the thread that reads them."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._progress: dict[str, Progress] = {}
        self._seen_at: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._notes: dict[str, list[_Note]] = {}
        """Digest -> what happened to its pods before the graph was there."""
        self._outage = Outage("the mirror cannot be read: no look-ahead from it", "the mirror can be read again")
        self._missing: dict[str, Outage] = {}
        """Digest -> that its graph is not there."""
        self._awake = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job graphs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self._awake.set()

    def pod_changed(self, pod: PodObject, change: str) -> None:
        """Note what a change of a pod says of its job."""
        labels = pod.metadata.labels
        digest, key = labels.get(names.GRAPH, ""), labels.get(names.GRAPH_JOB, "")
        if not (digest and key):
            return
        outcome = pod.metadata.annotations.get(names.OUTCOME, "")
        ended = change == "DELETED" or bool(outcome) or pod.status.phase in {"Succeeded", "Failed"}
        with self._lock:
            self._seen_at[digest] = self._clock()
            note = (key, pod.metadata.uid, outcome, "ended" if ended else "seen")
            progress = self._progress.get(digest)
            if progress is None:
                self._notes.setdefault(digest, []).append(note)
            else:
                _carry(progress, note)
        self._awake.set()

    def look(self, pods: Iterable[Pod]) -> tuple[Graph, ...]:
        """Return the graphs that are there; pods keep theirs from being forgotten."""
        now = self._clock()
        with self._lock:
            for digest in {pod.graph for pod in pods if pod.graph}:
                self._seen_at[digest] = now
            for digest in [one for one, at in self._seen_at.items() if now - at > _FORGET_SECONDS]:
                for table in (self._seen_at, self._progress, self._notes, self._asked_at, self._missing):
                    table.pop(digest, None)
            found = tuple(progress.graph() for progress in self._progress.values())
        self._awake.set()
        return found

    def _run(self) -> None:
        while not self._end.is_set():
            self._awake.wait(_AGAIN_SECONDS)
            self._awake.clear()
            try:
                if self._read_missing() + self._ask():
                    self._outage.worked()
            except CloudError as error:
                self._outage.failed(error)
                self._end.wait(5)
            except Exception as error:  # noqa: BLE001  a bug in reading one graph must not end the thread silently
                self._outage.failed(error, is_bug=True)
                self._end.wait(5)
            self._end.wait(0.2)  # many changes of pods are one round

    def _read_missing(self) -> int:
        """Read graphs that are not there yet; return how many were asked for."""
        now = self._clock()
        with self._lock:
            wanted = [one for one in self._seen_at if one not in self._progress][:_MOST_GRAPHS]
        asked = 0
        for digest in wanted:
            if now - self._asked_at.get(digest, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
                continue
            self._asked_at[digest] = now
            asked += 1
            document = self._document(digest)
            if document is None:
                continue
            progress = Progress(digest, document)
            with self._lock:
                for note in self._notes.pop(digest, ()):
                    _carry(progress, note)
                self._progress[digest] = progress
            _LOG.info("a job graph was read", extra={"graph": digest, "jobs": len(document.jobs)})
        return asked

    def _document(self, digest: str) -> GraphObject | None:
        # The digest is a label of a pod: the driver writes only base32 there, but others may write labels too.
        if not digest.isalnum():
            return None
        content = self._store.read(f"graphs/v1/{digest}.json", most_bytes=LARGEST_BYTES)
        document = read_graph(content) if content is not None else None
        if document is None:
            cause = "it is not there" if content is None else "it is no job graph of version 1"
            missing = Outage("a job graph cannot be read", "", level=logging.INFO)
            self._missing.setdefault(digest, missing).failed(cause, graph=digest)
        return document

    def _ask(self) -> int:
        """Ask the mirror about jobs that may have ended unseen, each once; return how many."""
        with self._lock:
            asked = [(progress, job) for progress in self._progress.values() for job in progress.questions()]
        for progress, job in asked[:_MOST_QUESTIONS]:
            has = "/" not in f"{job.name}{job.version}{job.key}" and self._store.has(manifest_path(job))
            with self._lock:
                progress.mirror_said(job.key, has=has)
        return min(len(asked), _MOST_QUESTIONS)


def _carry(progress: Progress, note: _Note) -> None:
    key, uid, outcome, what = note
    if what == "ended":
        progress.pod_ended(key, uid, outcome)
    else:
        progress.pod_seen(key, uid)
