"""What reaches a running script's call from outside: the Runner's TERM, the Runner's death, and the deletion of the pod.

Holds a pipe that wakes a select; the pod is watched in a thread of its own, because a watch blocks. Decides nothing.
"""

import contextlib
import os
import queue
import select
import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from executor import errors
from executor.attempt import Attempt
from executor.kube import Api, pods_path
from executor.pod_status import deletion_reason, read_pod

_WATCH_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_WATCH_SILENCE_SECONDS = 330.0
_LEAST_SLEEP_SECONDS = 0.2


class RunnerProcess:
    """The Runner that has called. Create it early: if the Runner has died before, its death goes unnoticed."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._birth = _birth(process)

    def check(self) -> None:
        """Raise RunnerGone if the Runner has died."""
        if self._process != os.getppid() and _birth(self._process) != self._birth:
            raise errors.RunnerGone("GitLab Runner is gone")


class Notices:
    """A context manager: installs the signal handler, and restores the former one."""

    def __init__(self, runner_process: int) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        os.set_blocking(self._read, False)
        self.runner = RunnerProcess(runner_process)
        self._deletion_reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._watcher: threading.Thread | None = None
        self.terminated_at: float | None = None
        """When the Runner's first TERM arrived, by the monotonic clock; None before."""
        self.pod_is_gone = False

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGTERM, self._note_term)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, self._former)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something new."""
        return self._read

    def clear(self) -> None:
        """Read what made the descriptor readable."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def sleep(self, seconds: float) -> None:
        """Wait; a notice ends the wait."""
        if select.select([self._read], [], [], seconds)[0]:
            self.clear()
            time.sleep(
                min(seconds, _LEAST_SLEEP_SECONDS)
            )  # repeated signals must not turn the caller's loop into a busy one

    def deletion_reasons(self) -> list[str]:
        """Return why the pod is being deleted, and how long it has; each reason once."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._deletion_reasons.get_nowait())
        return found

    def watch(self, api: Api, attempt: Attempt) -> None:
        """Watch the pod from now on; a second call changes nothing."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, args=(api, attempt), daemon=True)
            self._watcher.start()

    def _note_term(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.terminated_at = self.terminated_at or time.monotonic()

    def _watch(self, api: Api, attempt: Attempt) -> None:
        """Note why the pod is being deleted, and that it is gone. What that means for the script is the caller's decision.

        An eviction changes the pod twice: first comes its cause, then the deletion with its grace period.
        """
        query = {"fieldSelector": f"metadata.name={attempt.pod}"}
        last, pause = "", _WATCH_PAUSE_SECONDS
        own = api.another()
        while True:
            try:
                for event in own.watch(pods_path(attempt.namespace), query, timeout_seconds=_WATCH_SILENCE_SECONDS):
                    pause = _WATCH_PAUSE_SECONDS
                    pod = read_pod(event.get("object"))
                    reason = deletion_reason(pod)
                    if reason not in {"", last} and not pod.is_finished:
                        last = reason
                        self._deletion_reasons.put(reason)
                    self.pod_is_gone = event.get("type") == "DELETED"
                    if reason or self.pod_is_gone or pod.is_finished:
                        self._wake()
            except errors.Unavailable:
                pass
            except errors.DriverError:  # refused: each further try may cost a renewal of the credentials
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            time.sleep(pause)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._write, b"\0")


def _birth(process: int) -> str:
    """Return when a process was started; "" if it has ended. A process that has got the same id since differs in it."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
        return "" if state in {"Z", "X"} else fields[18]
    return ""
