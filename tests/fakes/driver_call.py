"""One call of a custom executor's driver, as GitLab Runner makes it: process group, pipes, signals, meaning of exit codes.

Source: gitlab-runner 19.4 executors/custom/command, helpers/process/killer.go, commander_unix.go. Knows no job.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TO_TRACE = {"config": {"stderr"}, "cleanup": set[str]()}
"""For each stage, the outputs that are copied to the job log; for any other stage, both."""


class BuildError(Exception):
    """The job's own failure."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(f"{reason} {code}")
        self.reason, self.code = reason, code


class SystemFailure(Exception):  # noqa: N818 (the Runner's word)
    """The Runner's failure."""


class Canceled(Exception):  # noqa: N818 (the Runner's word)
    """The context of a call was canceled."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call that has ended."""

    stage: str
    """config, prepare, run or cleanup."""
    script: str
    """For run: the build stage."""
    code: int
    """The exit code; -N for signal N."""
    seconds: float
    stdout: bytes
    stderr: bytes


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a call may take, in seconds."""

    graceful_kill: float
    """From TERM to KILL."""
    force_kill: float
    """From KILL until the process is given up."""
    finish: float
    """From the cancel of the whole build until its call is abandoned (WaitForBuildFinishTimeout, 5 min)."""


class DriverCall:
    """A call that runs. `write` receives what is copied to the job log, from two threads, once `wait` is called."""

    def __init__(
        self, argv: list[str], stage: str, *, folder: Path, environment: dict[str, str], write: Callable[[bytes], None]
    ) -> None:
        self._began = time.monotonic()
        try:
            self.process = subprocess.Popen(
                argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, process_group=0,
            )  # fmt: skip
        except OSError as error:
            raise SystemFailure(f"failed to start command: {error}") from error
        self._stage, self._write = stage, write
        self._outputs: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        to_trace = _TO_TRACE.get(stage, {"stdout", "stderr"})
        self._pumps = [
            threading.Thread(target=self._pump, args=(getattr(self.process, name), kept, name in to_trace))
            for name, kept in self._outputs.items()
        ]

    def wait(self, canceled: threading.Event, build: threading.Event, *, seconds: float, limits: Limits) -> None:
        """Wait for the exit and the end of both pipes; on cancel or timeout TERM the group, then KILL it.

        Raises Canceled if `build`, the whole of it, was canceled and the call has not ended for long.
        """
        for pump in self._pumps:
            pump.start()
        deadline, kill_at, give_up_at, left_at = time.monotonic() + seconds, 0.0, 0.0, 0.0
        while self.process.poll() is None or any(pump.is_alive() for pump in self._pumps):
            now = time.monotonic()
            left_at = left_at or (now if canceled.is_set() and build.is_set() else 0.0)
            if left_at and now - left_at > limits.finish:
                raise Canceled
            if not kill_at and (canceled.is_set() or now > deadline):
                kill_at = now + limits.graceful_kill
                self._kill(signal.SIGTERM)
            elif kill_at and not give_up_at and now > kill_at:
                give_up_at = now + limits.force_kill
                self._kill(signal.SIGKILL)
            elif give_up_at and now > give_up_at:
                raise SystemFailure(f"failed to kill process PID={self.process.pid}, likely process is dormant")
            time.sleep(0.01)

    def ended(self, script: str) -> Call:
        """Return the call's exit code, time and outputs."""
        seconds = time.monotonic() - self._began
        return Call(self._stage, script, self.process.returncode, seconds, *map(bytes, self._outputs.values()))

    def _pump(self, pipe: Any, kept: bytearray, to_trace: bool) -> None:  # noqa: FBT001 (a thread's argument)
        with pipe:
            while content := os.read(pipe.fileno(), 65536):
                kept += content
                if to_trace:
                    self._write(content)

    def _kill(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def judge(call: Call, code_file: Path) -> None:
    """Raise what an exit code means. Source: executors/custom/command/command.go, waitForCommand."""
    if call.code == 0:
        return
    if call.code == 2:
        raise SystemFailure("exit status 2")
    if call.code != 1:
        raise SystemFailure(f"unknown Custom executor executable exit code {call.code}")
    if not code_file.exists():
        raise BuildError("script_failure", 1)
    first = code_file.read_text().split("\n")[0]
    if not first.lstrip("-").isdigit():
        raise SystemFailure(f"unknown Custom executor executable exit code {call.code}; {first!r}")
    raise BuildError("script_failure", int(first))
