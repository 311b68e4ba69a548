"""What every story of one call of `spack-farm build` shares.

Knows neither Spack nor packages: the request, the voice, the stop request, the environments, the deadline, the results.
"""

import io
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildjob import run_folder
from buildjob.agent import run
from buildjob.agent.request import BuildRequest
from buildjob.errors import Interrupted, TimedOut
from buildjob.log import Log
from buildjob.process import child, environments
from buildjob.process.prestarted import Ahead


class Session:
    """What every story of one call shares: the request, the voice, the stop request, the environments, the deadline."""

    def __init__(self, request: BuildRequest, log: Log, stop: child.StopRequest) -> None:
        self.request = request
        self.log = log
        self.stop = stop
        self.environments = environments.split(request.variables)
        self.deadline = run.deadline(request.timeout_seconds)
        self.results: list[run_folder.RunResult] = []
        self.roots: frozenset[str] = frozenset()
        """Hashes of the packages that were asked for; the others are dependencies."""

    @property
    def publishes(self) -> bool:
        """Whether binaries are to be written at all."""
        return self.request.target is not None or self.request.keep_unsigned

    def call(
        self, argv: list[str], environment: Mapping[str, str], *, within_seconds: float | None = None
    ) -> tuple[int, bytes]:
        """Run a program that is no build to its end; return its exit code and what it printed.

        It has until the request's deadline, or `within_seconds` where given. Raises Interrupted, and TimedOut.
        """
        deadline = self.deadline if within_seconds is None else run.deadline(within_seconds)
        return self._follow(child.start(_program(argv, environment)), argv, deadline)

    def ahead(self, argv: list[str], environment: Mapping[str, str]) -> Ahead:
        """Return a program that can be started before it is needed; it is no build either."""
        return Ahead(_program(argv, environment))

    def finish(self, program: Ahead, word: bytes, *, spared: frozenset[int] = frozenset()) -> tuple[int, bytes]:
        """Tell a program what it has waited for, and follow it to its end as `call` does."""
        return self._follow(program.tell(word), program.argv, self.deadline, spared=spared)

    def _follow(
        self,
        started: "subprocess.Popen[bytes]",
        argv: Sequence[str | Path],
        deadline: float | None,
        *,
        spared: frozenset[int] = frozenset(),
    ) -> tuple[int, bytes]:
        printed = io.BytesIO()
        ended = child.finish(
            started,
            output=child.Output(printed, terminal=None, listen=lambda _chunk: None),
            until=child.Until(stop=self.stop, deadline=deadline, spared=lambda: spared),
        )
        if ended.stopped_by:
            raise Interrupted(ended.stopped_by)
        if ended.timed_out:
            raise TimedOut(f"the time was over while {Path(argv[0]).name} was running: {shlex.join(map(str, argv[-3:]))}")
        return ended.exit_code, printed.getvalue()


def _program(argv: list[str], environment: Mapping[str, str]) -> child.Program:
    return child.Program(argv=argv, environment=environment, folder=Path.cwd())
