"""What every story of one call of `spack-farm build` shares.

Knows neither Spack nor packages: the request, the voice, the stop request, the environments, the deadline, the results.
"""

import io
import shlex
from collections.abc import Mapping
from pathlib import Path

from buildjob import child, run, secrets
from buildjob.errors import Interrupted, TimedOut
from buildjob.log import Log
from buildjob.request import BuildRequest


class Session:
    """What every story of one call shares: the request, the voice, the stop request, the environments, the deadline."""

    def __init__(self, request: BuildRequest, log: Log, stop: child.StopRequest) -> None:
        self.request = request
        self.log = log
        self.stop = stop
        self.environments = secrets.split(request.variables)
        self.deadline = run.deadline(request.timeout_seconds)
        self.results: list[run.RunResult] = []
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
        printed = io.BytesIO()
        ended = child.run(
            child.Program(argv=argv, environment=environment, folder=Path.cwd()),
            output=child.Output(printed, terminal=None, listen=lambda _chunk: None),
            stop=self.stop,
            deadline=deadline,
        )
        if ended.stopped_by:
            raise Interrupted(ended.stopped_by)
        if ended.timed_out:
            raise TimedOut(f"the time was over while {Path(argv[0]).name} was running: {shlex.join(argv[-3:])}")
        return ended.exit_code, printed.getvalue()
