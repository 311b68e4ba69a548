"""What all parts of one call of `spack-farm build` share, and how programs other than builds are run within it.

Knows neither Spack nor packages.
"""

import contextlib
import io
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from buildjob.agent import recorder
from buildjob.agent.request import BuildRequest
from buildjob.buildcache.storage.notices import NO_ANSWER
from buildjob.errors import Interrupted, TimedOut
from buildjob.log import LINE_PREFIX, Log
from buildjob.masking import mask
from buildjob.process import child, environments
from buildjob.process.environments import Environments
from buildjob.process.prestarted import Prestarted
from buildjob.process.successor import Successor
from status_line.heartbeat import Heartbeat
from status_line.text import elapsed

_PREFIX = LINE_PREFIX.encode()
_NOTICE = _PREFIX + NO_ANSWER.encode()
_LONGEST_NOTICE = 1000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of one call share."""

    request: BuildRequest
    log: Log
    stop: child.StopRequest
    environments: Environments
    """Who may see which variable, as far as it is known: Spack's configuration may name further secrets."""
    deadline: float | None
    """A reading of the monotonic clock after which everything is stopped; None without `--timeout`."""
    began_at: str
    """RFC 3339, UTC."""

    @classmethod
    def begin(cls, request: BuildRequest, log: Log, stop: child.StopRequest) -> Self:
        """Return the session of a call; its time begins now."""
        split = environments.split(request.variables)
        return cls(
            request=request,
            log=log,
            stop=stop,
            environments=split,
            deadline=_after(request.timeout_seconds),
            began_at=recorder.now(),
        )

    def call(
        self, argv: list[str], environment: Mapping[str, str], *, within_seconds: float | None = None
    ) -> tuple[int, bytes]:
        """Run a program to its end; return its exit code and what it printed.

        It has until the session's deadline, or `within_seconds` where given. Raises Interrupted, and TimedOut.
        """
        deadline = self.deadline if within_seconds is None else _after(within_seconds)
        return self._follow(child.start(_program(argv, environment)), argv, deadline)

    def converse(
        self, argv: list[str], environment: Mapping[str, str], *, question: bytes, answer: Callable[[bytes], bytes]
    ) -> tuple[int, bytes]:
        """Run a program to its end that asks one thing: a line that begins with `question`, whose rest `answer` receives.

        What that returns is the program's input. Else as `call`.
        """
        asking = Prestarted(_program(argv, environment))
        asking.start()
        started, write = asking.release()

        def listen(line: bytes) -> None:
            if line.startswith(question):
                with contextlib.suppress(BrokenPipeError):  # it has ended: its output says why
                    write(answer(line[len(question) :]))

        return self._follow(started, argv, self.deadline, listen=WholeLines(listen).feed)

    def require_time(self, what: str) -> None:
        """Raise TimedOut if the session's deadline is over; `what` would come next."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimedOut(f"--timeout passed before {what}")

    def prestarted(self, argv: list[str], environment: Mapping[str, str]) -> Prestarted:
        """Return a program that can be started before it is needed."""
        return Prestarted(_program(argv, environment))

    def finish(
        self, program: Prestarted | Successor, line: bytes, *, standby: frozenset[int] = frozenset()
    ) -> tuple[int, bytes]:
        """Give a program that waits its line of input, and follow it to its end as `call` does."""
        return self._follow(program.resume(line), program.argv, self.deadline, standby=standby)

    def _follow(
        self,
        started: child.Followed,
        argv: Sequence[str | Path],
        deadline: float | None,
        *,
        standby: frozenset[int] = frozenset(),
        listen: Callable[[bytes], None] = lambda _chunk: None,
    ) -> tuple[int, bytes]:
        printed = io.BytesIO()
        until = child.Until(stop=self.stop, deadline=deadline, standby=lambda: standby)
        notices = NoticeLines(lambda line: self.log.note(mask(line, self.environments.secret_values)))

        def hear(chunk: bytes) -> None:
            notices.feed(chunk)
            listen(chunk)

        doing, begun, screen = self.log.last_step or Path(argv[0]).name, time.monotonic(), self.log.screen

        def beat(seconds: float) -> None:
            if not screen.is_live:
                self.log.note(f"{doing}: still at it after {elapsed(seconds)}")

        def forms() -> list[str]:
            time_text = elapsed(time.monotonic() - begun)
            # the time first where the step, such as a long path, has to be cut
            return [f"{doing} ({time_text})", f"{time_text} {doing}"]

        # within a package that is built or published, that package's line says more
        with Heartbeat(beat), screen.showing(forms, yields=True):
            ended = child.follow(started, output=child.Output(printed, listen=hear), until=until)
        if ended.stopped_by:
            raise Interrupted(ended.stopped_by)
        if ended.timed_out:
            raise TimedOut(f"--timeout passed while {Path(argv[0]).name} was running: {shlex.join(map(str, argv[-3:]))}")
        return ended.exit_code, printed.getvalue()


class WholeLines:
    """Passes on the lines of an output that comes in pieces, each when it is whole."""

    def __init__(self, line: Callable[[bytes], None]) -> None:
        self._pass_on = line
        self._line = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            self._pass_on(line)


class NoticeLines:
    """Passes on at once what a child of ours says of a server that does not answer; its other lines come with its end."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._line = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes that the child printed."""
        *lines, last = (self._line + chunk).split(b"\n")
        # only the start of a line decides: a longer one, such as an answer in JSON, need not be kept whole
        self._line = last[:_LONGEST_NOTICE]
        for line in lines:
            if line.startswith(_NOTICE):
                self._notice(line[len(_PREFIX) : _LONGEST_NOTICE].decode("utf-8", "replace"))


def _after(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _program(argv: list[str], environment: Mapping[str, str]) -> child.Program:
    return child.Program(argv=argv, environment=environment, folder=Path.cwd())
