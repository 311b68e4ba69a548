"""Jobs as GitLab keeps them: handed out once, traced, updated, ended. State and its invariants; knows no HTTP.

Source: gitlab-runner 19.4, network/gitlab.go and network/trace.go; GitLab's documentation of the job API.
"""

import dataclasses
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

Payload = dict[str, Any]
FINAL_STATES = frozenset({"success", "failed"})


@dataclasses.dataclass(frozen=True)
class Artifact:
    """One uploaded file."""

    name: str
    kind: str
    """GitLab's `artifact_type`: archive, junit, metadata …"""
    content: bytes


@dataclasses.dataclass(frozen=True)
class Update:
    """A PUT's content: the state, and for a final one the reason, the exit code, and the trace's length and checksum."""

    state: str
    reason: str = ""
    exit_code: int = 0
    trace_bytes: int | None = None
    trace_checksum: str = ""


class TraceGap(Exception):  # noqa: N818 (not an error: the Runner sends again)
    """Bytes are missing before those that arrived; carries how many there are."""

    def __init__(self, there: int) -> None:
        super().__init__(there)
        self.there = there


class Job:
    """One job. Safe between threads; its first final state stays."""

    def __init__(self, number: int, payload: Payload) -> None:
        self.number = number
        self.token = f"glcbt-{number}"
        own = {"CI_JOB_ID": str(number), "CI_JOB_TOKEN": self.token}
        variables = [one | {"value": own.get(one["key"], one["value"])} for one in payload.get("variables", [])]
        self.payload = payload | {"id": number, "token": self.token, "variables": variables}
        self.status = "running"
        """The Job-Status of the next answer."""
        self.updates: list[Update] = []
        self.artifacts: list[Artifact] = []
        self.put_answers: list[int] = []
        """Answers to the next final PUTs instead of 200: 202 "not done yet", 412 "send the trace again"."""
        self.gaps = 0
        """How often a trace came with a gap before it."""
        self.handed_out_at: float | None = None
        """Seconds of time.time(), the clock of a script's `date`."""
        self.ended_at: float | None = None
        self._trace = bytearray()
        self._watchers: list[tuple[bytes, Callable[[], object]]] = []
        self._changed = threading.Condition()

    @property
    def trace(self) -> bytes:
        """The log so far."""
        with self._changed:
            return bytes(self._trace)

    @property
    def text(self) -> str:
        """The log so far, as text."""
        return self.trace.decode("utf-8", "replace")

    @property
    def end(self) -> Update | None:
        """The final update, if there was one."""
        return next((update for update in self.updates if update.state in FINAL_STATES), None)

    def hand_out(self) -> Payload:
        """Return the payload, noting when."""
        self.handed_out_at = time.time()
        return self.payload

    def write(self, start: int, content: bytes) -> int:
        """Put bytes of the trace at a place, dropping what was after it; return its length. Raises TraceGap."""
        with self._changed:
            if start > len(self._trace):
                self.gaps += 1
                raise TraceGap(len(self._trace))
            self._trace[start:] = content
            due = [watcher for watcher in self._watchers if watcher[0] in self._trace]
            self._watchers = [watcher for watcher in self._watchers if watcher not in due]
            self._changed.notify_all()
            length = len(self._trace)
        for _, action in due:
            action()
        return length

    def lose_trace_after(self, length: int) -> None:
        """Forget the rest of the trace, as a GitLab whose storage lost it: the next piece leaves a gap."""
        with self._changed:
            del self._trace[length:]

    def update(self, update: Update) -> int:
        """Take a PUT; return the HTTP status of its answer. The first final state wins."""
        with self._changed:
            if update.state in FINAL_STATES and self.put_answers:
                return self.put_answers.pop(0)
            if update.state in FINAL_STATES and self.end is None:
                self.ended_at = time.time()
                self.status = update.state
            self.updates.append(update)
            self._changed.notify_all()
            return 200

    def cancel(self, *, gracefully: bool = True) -> None:
        """Cancel: the Runner learns of it with its next request. Gracefully: after_script still runs."""
        self.status = "canceling" if gracefully else "canceled"

    def when(self, text: str, action: Callable[[], object]) -> None:
        """Call a function once, as soon as the trace has the text."""
        with self._changed:
            self._watchers.append((text.encode(), action))

    def wait(self, *, seconds: float = 300) -> Update:
        """Return the final update. Raises TimeoutError with the log."""
        with self._changed:
            if self._changed.wait_for(lambda: self.end is not None, seconds) and self.end is not None:
                return self.end
        raise TimeoutError(f"job {self.number} has not ended within {seconds} s:\n{self.text}")

    def trace_is_whole(self) -> bool:
        """Tell whether length and checksum of the final update are those of the trace that came."""
        end = self.end
        if end is None or end.trace_bytes != len(self.trace):
            return False
        return end.trace_checksum == f"crc32:{zlib.crc32(self.trace):08x}"

    def artifact(self, kind: str = "archive") -> Artifact | None:
        """Return the last upload of a kind, if there is one."""
        return next((one for one in reversed(self.artifacts) if one.kind == kind), None)

    def as_dependency(self) -> Payload:
        """Return what a later job's `dependencies` has of this one."""
        archive = self.artifact()
        dependency: Payload = {"id": self.number, "token": self.token, "name": self.payload["job_info"]["name"]}
        if archive:
            dependency["artifacts_file"] = {"filename": archive.name, "size": len(archive.content)}
        return dependency


class Queue:
    """All jobs, by their number, and those that no Runner has yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._pending: list[Job] = []

    def add(self, payload: Payload) -> Job:
        """Put a job at the end; its number, its token and their variables are ours."""
        with self._lock:
            job = Job(len(self._jobs) + 1001, payload)
            self._jobs[job.number] = job
            self._pending.append(job)
            return job

    def take(self) -> Job | None:
        """Return the first pending job, which is then no longer so."""
        with self._lock:
            return self._pending.pop(0) if self._pending else None

    def find(self, number: int) -> Job | None:
        """Return a job by its number."""
        return self._jobs.get(number)
