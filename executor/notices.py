"""What reaches a running stage from outside: the Runner's TERM, the Runner's death, and notice that the pod goes.

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
from executor.pod_status import notice, read_pod

_WATCH_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_WATCH_SILENCE_SECONDS = 330.0


class RunnerProcess:
    """The Runner that has called. To be made early: the death of a process that has ended before goes unnoticed."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._birth = _birth(process)

    def check(self) -> None:
        """Raise RunnerGone if the Runner has died."""
        if self._process != os.getppid() and _birth(self._process) != self._birth:
            raise errors.RunnerGone("GitLab Runner is gone")


class Notices:
    """A context manager: installs the signal handler, and puts the former one back."""

    def __init__(self, runner_process: int) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        os.set_blocking(self._read, False)
        self.runner = RunnerProcess(runner_process)
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._watcher: threading.Thread | None = None
        self.terminated_at: float | None = None
        self.pod_is_gone = False

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGTERM, self._note_term)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, self._former)

    @property
    def terminated(self) -> bool:
        """Whether the Runner has sent TERM."""
        return self.terminated_at is not None

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something new."""
        return self._read

    def clear(self) -> None:
        """Take what made the descriptor readable."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond a notice."""
        if select.select([self._read], [], [], seconds)[0]:
            self.clear()
            time.sleep(min(seconds, 0.2))

    def news(self) -> list[str]:
        """Return why the pod goes, and how long it has; each notice once."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._news.get_nowait())
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
        """Tell that the pod goes, each wording once, and that it is gone. Nothing here ends the job: others look.

        An eviction is told in two steps: first its cause, then the deletion with its grace.
        """
        query = {"fieldSelector": f"metadata.name={attempt.pod}"}
        told, pause = "", _WATCH_PAUSE_SECONDS
        own = api.another()
        while True:
            try:
                for event in own.watch(pods_path(attempt.namespace), query, timeout_seconds=_WATCH_SILENCE_SECONDS):
                    pause = _WATCH_PAUSE_SECONDS
                    pod = read_pod(event.get("object"))
                    words = notice(pod)
                    if words not in {"", told} and not pod.is_over:
                        told = words
                        self._news.put(words)
                    self.pod_is_gone = event.get("type") == "DELETED"
                    if words or self.pod_is_gone or pod.is_over:
                        self._wake()
            except errors.Unavailable:
                pass
            except errors.DriverError:  # refused: each look may cost a renewal of the credentials
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            time.sleep(pause)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")


def _birth(process: int) -> str:
    """Return when a process was started; "" if it has ended, which a number that is given again can't hide."""
    with contextlib.suppress(OSError):
        state, *fields = (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return "" if state in {"Z", "X"} else fields[18]
    return ""
