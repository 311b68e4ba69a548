"""What all parts of one call of `spack-farm build` share, and how programs other than builds are run within it.

Knows neither Spack nor packages.
"""

import io
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from buildjob.agent.request import BuildRequest
from buildjob.errors import Interrupted, TimedOut
from buildjob.log import Log
from buildjob.process import child, environments
from buildjob.process.environments import Environments
from buildjob.process.prestarted import Prestarted


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of one call share."""

    request: BuildRequest
    log: Log
    stop: child.StopRequest
    environments: Environments
    """Who may see which variable, as far as it is known: Spack's configuration may name further secrets."""
    deadline: float | None
    """A reading of the monotonic clock after which everything is stopped; None without `--timeout`."""

    @classmethod
    def begin(cls, request: BuildRequest, log: Log, stop: child.StopRequest) -> Self:
        """Return the session of a call; its time begins now."""
        split = environments.split(request.variables)
        return cls(request=request, log=log, stop=stop, environments=split, deadline=_after(request.timeout_seconds))

    def call(
        self, argv: list[str], environment: Mapping[str, str], *, within_seconds: float | None = None
    ) -> tuple[int, bytes]:
        """Run a program to its end; return its exit code and what it printed.

        It has until the session's deadline, or `within_seconds` where given. Raises Interrupted, and TimedOut.
        """
        deadline = self.deadline if within_seconds is None else _after(within_seconds)
        return self._follow(child.start(_program(argv, environment)), argv, deadline)

    def require_time(self, what: str) -> None:
        """Raise TimedOut if the session's deadline is over; `what` would come next."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimedOut(f"--timeout passed before {what}")

    def prestarted(self, argv: list[str], environment: Mapping[str, str]) -> Prestarted:
        """Return a program that can be started before it is needed."""
        return Prestarted(_program(argv, environment))

    def finish(self, program: Prestarted, line: bytes, *, standby: frozenset[int] = frozenset()) -> tuple[int, bytes]:
        """Give a prestarted program its line of input, and follow it to its end as `call` does."""
        return self._follow(program.resume(line), program.argv, self.deadline, standby=standby)

    def _follow(
        self,
        started: "subprocess.Popen[bytes]",
        argv: Sequence[str | Path],
        deadline: float | None,
        *,
        standby: frozenset[int] = frozenset(),
    ) -> tuple[int, bytes]:
        printed = io.BytesIO()
        until = child.Until(stop=self.stop, deadline=deadline, standby=lambda: standby)
        ended = child.follow(started, output=child.Output(printed), until=until)
        if ended.stopped_by:
            raise Interrupted(ended.stopped_by)
        if ended.timed_out:
            raise TimedOut(f"--timeout passed while {Path(argv[0]).name} was running: {shlex.join(map(str, argv[-3:]))}")
        return ended.exit_code, printed.getvalue()


def _after(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _program(argv: list[str], environment: Mapping[str, str]) -> child.Program:
    return child.Program(argv=argv, environment=environment, folder=Path.cwd())
