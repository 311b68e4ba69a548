"""Runs one script in a container and passes its output on: unchanged, in order, once, across broken connections.

The script runs detached in the container, so no connection matters to it. Doing only: `stream_state` says what the agent's
bytes mean, `judge` what the end means.
"""

import os
import select
import time
from collections.abc import Callable

import msgspec

from executor import errors
from executor.attempt import Attempt, script_variables
from executor.build_stage import only_deletes_files
from executor.exec_stream import STATUS, STDERR, STDOUT, Closed, ExecStream, Frame, SignOfLife, capture
from executor.kube import Api
from executor.log import Log, write_all
from executor.notices import Notices
from executor.pod_agent import agent_argv, driver_line
from executor.pod_status import Pod
from executor.pods import find
from executor.settings import Settings
from executor.stream_state import (
    Acknowledge,
    Complaint,
    Exited,
    Fault,
    Following,
    NeedScript,
    Output,
    Received,
    ScriptEnd,
    StreamState,
)

_ALIVE_SECONDS = 20.0  # or a quarter of what makes an orphan
_SILENT_SECONDS = 30.0  # the agent writes `beat` every five
_KILL_SECONDS = 5.0
_LOG_REST_SECONDS = 30.0
_DRAIN_SECONDS = 1.0
_WATCH_AFTER_SECONDS = 2.0
_EARLY_ENDS = 5
_REFUSED_SECONDS = 60.0  # a restarted API server refuses everything until it has read its roles
_USEFUL_SECONDS = 10.0


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A script that is to run."""

    content: bytes
    container: str
    stage: str
    folder: str
    """Name of its folder in the control volume: the stage and a random part, so that no two calls share one."""


class PodLoss(msgspec.Struct, frozen=True, kw_only=True):
    """The container ended before the script's exit code was known."""

    pod: Pod | None
    """What is left of the pod; None if it was deleted."""


class Cancelled(msgspec.Struct, frozen=True):
    """The script was stopped at the Runner's request."""


class ScriptRun:
    """One run of a script: its connections, the position in its output, and the clock. Used once."""

    def __init__(  # noqa: PLR0913 (each is a collaborator)
        self,
        api: Api,
        attempt: Attempt,
        script: Script,
        settings: Settings,
        *,
        output: int,
        job_log: Log,
        notices: Notices,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._attempt = attempt
        self._script = script
        self._settings = settings
        self._output = output
        self._job_log = job_log
        self._notices = notices
        self._now = now
        self._state = StreamState(script.folder)
        self._started = now()
        self._heard = now()
        self._alive_seconds = min(_ALIVE_SECONDS, settings.orphan_after_seconds / 4)
        self._alive_sent = 0.0
        self._is_following = False
        self._exit_seen: float | None = None
        self._end: ScriptEnd | None = None
        self._complaint = ""
        self._early_ends = 0
        self._term_sent: float | None = None
        self._kill_sent: float | None = None

    def result(self) -> ScriptEnd | PodLoss | Cancelled:
        """Run the script to its end, reconnecting as often as needed.

        Raises Unavailable when the API has not answered within its budget, RequestError if the image cannot run scripts,
        RunnerGone if the Runner has died.
        """
        pause = 0.05
        while True:
            connected, received = self._now(), self._state.position.received
            trouble: errors.ClusterError = errors.Unavailable("the exec stream ended early")
            end: ScriptEnd | Cancelled | None = None
            try:
                end = self._follow(self._script.container)
            except errors.ClusterError as error:
                trouble = error
                self._early_ends += isinstance(error, errors.Garbled)
            end = end or self._given_up()
            if end is not None:
                return end
            self._notices.runner.check()
            self._check_early_ends(trouble)
            loss = self._look(trouble)
            if loss is not None:
                return self._drain() or loss
            was_useful = self._state.position.received > received or self._now() - connected > _USEFUL_SECONDS
            pause = 0.05 if was_useful else min(pause * 2, 5.0)
            self._notices.sleep(pause)

    def _follow(self, container: str, *, drain: bool = False) -> ScriptEnd | Cancelled | None:
        """Follow over one connection; return None if it ended early. Raises ClusterError."""
        self._state.new_connection()
        self._is_following = False
        self._exit_seen = None  # the log's end is late only if it is missing while a connection stands
        with ExecStream(self._api, self._attempt.namespace, self._attempt.pod, container, self._run_argv()) as stream:
            self._heard = self._now()
            while True:
                may_continue = self._take(self._next_frame(stream), stream)
                end = self._ended(stream)
                if end is not None or not may_continue:
                    return end
                if drain and self._now() - self._heard > _DRAIN_SECONDS:
                    return None
                self._keep_up(stream)

    def _run_argv(self) -> list[str]:
        """Return the command line that starts the script, or finds it started, and follows it from here."""
        script = self._script
        is_last = script.stage in self._attempt.last_stages or only_deletes_files(script.stage)
        variables = script_variables(self._attempt) if script.container == "build" else {}
        return agent_argv(
            script.container, "run", protocol=self._attempt.control_protocol, variables=variables, stage=script.folder,
            size=len(script.content), last="last" if is_last else "no", **msgspec.structs.asdict(self._state.position),
        )  # fmt: skip

    def _next_frame(self, stream: ExecStream) -> Frame | SignOfLife | Closed | None:
        """Return what arrives within a second; None if nothing does, or a notice comes first."""
        if not stream.has_buffered:
            ready = select.select([stream.fileno(), self._notices.fileno()], [], [], 1.0)[0]
            if self._notices.fileno() in ready:
                self._notices.clear()
            if stream.fileno() not in ready:
                return None
        frame = stream.receive()
        self._heard = self._now()
        return frame

    def _take(self, frame: Frame | SignOfLife | Closed | None, stream: ExecStream) -> bool:
        """Act on what has arrived; return whether more may follow."""
        match frame:
            case None | SignOfLife():
                return True
            case Frame(channel=channel, content=content) if channel == STDOUT:
                self._act_on(self._state.take_output(content), stream)
                return True
            case Frame(channel=channel, content=content) if channel == STDERR:
                self._act_on(self._state.take_lines(content), stream)
                return True
            case Frame(channel=channel):
                # The agent itself has ended. Unlike a broken connection, that may happen again on each new one.
                self._early_ends += channel == STATUS
                return False
            case Closed():
                return False

    def _act_on(self, received: list[Received], stream: ExecStream) -> None:
        """Do what each value asks for, in their order. Raises RequestError, Unavailable, BrokenPipeError."""
        for one in received:
            match one:
                case Output(content=content):
                    write_all(self._output, content)
                case NeedScript():
                    stream.send(self._script.content)
                case Following():
                    self._is_following = True
                case Acknowledge(segment=segment, total=total):
                    stream.send(driver_line("acked", segment=segment, total=total))
                case Exited():
                    self._exit_seen = self._exit_seen or self._now()
                case ScriptEnd():
                    self._end = one
                case Complaint(message=message):
                    self._complaint = message
                case Fault(message=message):
                    script = self._script
                    raise errors.RequestError(f"{script.stage} cannot run in container {script.container}: {message}")

    def _ended(self, stream: ExecStream) -> ScriptEnd | Cancelled | None:
        """Return the end if everything is known; a log whose last bytes do not arrive is given up after a while."""
        if self._exit_seen is not None and self._now() - self._exit_seen > _LOG_REST_SECONDS:
            self._act_on(self._state.give_up_log(), stream)
        if self._end is None:
            return self._given_up()
        return Cancelled() if self._term_sent is not None else self._end

    def _keep_up(self, stream: ExecStream) -> None:
        """Do what is due: show that the driver lives, log notices, pass a cancel on. Raises Unavailable on silence."""
        now = self._now()
        self._notices.runner.check()
        if self._is_following and now - self._alive_sent > self._alive_seconds:
            self._alive_sent = now
            stream.send(driver_line("alive", number=f"{os.getpid()}.{int(now)}"))
        if now - self._heard > _SILENT_SECONDS:
            raise errors.Unavailable(f"the exec stream was silent for {_SILENT_SECONDS:.0f} s")
        if now - self._started > _WATCH_AFTER_SECONDS:  # most scripts are shorter, and need no watch
            self._notices.watch(self._api, self._attempt)
        for reason in self._notices.deletion_reasons():
            self._job_log.warning(
                f"the pod is being deleted: {reason}; a script that ends within its grace period still counts"
            )
        if self._notices.pod_is_gone:
            raise errors.Unavailable("the pod was deleted")
        if self._notices.terminated_at is not None:
            self._cancel(now)

    def _cancel(self, now: float) -> None:
        """Pass the Runner's TERM on to the script's process group, then KILL."""
        if self._term_sent is None:
            self._term_sent = now
            self._signal("TERM")
        elif self._kill_sent is None and now - self._term_sent > self._settings.cancel_seconds:
            self._kill_sent = now
            self._job_log.warning(f"the script did not end within {self._settings.cancel_seconds} s of TERM: it is killed")
            self._signal("KILL")

    def _signal(self, name: str) -> None:
        """Signal the script; a failure is logged, and has the effect of a script that ignores the signal."""
        script, attempt = self._script, self._attempt
        argv = agent_argv(script.container, "signal", protocol=attempt.control_protocol, stage=script.folder, signal=name)
        try:
            with ExecStream(self._api, attempt.namespace, attempt.pod, script.container, argv) as stream:
                _, complaint, code = capture(stream, timeout_seconds=5)
        except errors.ClusterError as error:
            code, complaint = 1, str(error).encode()
        if code:
            reason = complaint.decode("utf-8", "replace").strip()[:500]
            self._job_log.warning(f"the script could not be sent {name}: {reason}")

    def _given_up(self) -> Cancelled | None:
        """Return that the script is canceled if it was killed long ago, or could not be reached for its cancel in time."""
        now = self._now()
        if self._kill_sent is not None and now - self._kill_sent > _KILL_SECONDS:
            return Cancelled()
        terminated_at = self._notices.terminated_at
        if terminated_at is not None and now - terminated_at > self._settings.cancel_seconds + 2 * _KILL_SECONDS:
            return Cancelled()
        return None

    def _check_early_ends(self, trouble: errors.ClusterError) -> None:
        """Raise ClusterError if the agent has ended early too often: connecting once more would not help."""
        if self._early_ends > _EARLY_ENDS:
            reason = trouble if isinstance(trouble, errors.Garbled) else self._complaint or "it gives no reason"
            raise errors.ClusterError(
                f"the agent in container {self._script.container} ends early, again and again: {reason}"
            )

    def _look(self, trouble: errors.ClusterError) -> PodLoss | None:
        """Look at the pod after a broken connection; return a loss if the container has ended.

        Raises Unavailable when nothing has been heard from the API server or the node within the budget, and `trouble` if it
        is not of a kind that passes.
        """
        silent = self._now() - self._heard
        budget = self._settings.budgets.api_seconds
        try:
            pod = find(self._api, self._attempt.namespace, self._attempt.pod)
        except errors.NotFound:
            return PodLoss(pod=None)
        except (errors.Unavailable, errors.Forbidden, errors.Unauthorized) as error:
            if silent <= (budget if isinstance(error, errors.Unavailable) else min(budget, _REFUSED_SECONDS)):
                return None
            raise errors.Unavailable(
                f"nothing was heard from the API server for {silent:.0f} s (budgets.api_seconds), the job ends: {error}"
            ) from trouble
        if pod.metadata.uid != self._attempt.uid:  # another pod of the same name: ours was deleted
            return PodLoss(pod=None)
        if pod.is_finished or pod.container(self._script.container).terminated is not None:
            return PodLoss(pod=pod)
        # The pod is well, so the connection is not. These three may pass: no answer, a container that is only just starting
        # (404), a kubelet that is (400).
        passes = isinstance(trouble, errors.Unavailable | errors.NotFound | errors.Rejected)
        if not passes and silent > _REFUSED_SECONDS:
            raise trouble
        if silent > budget:
            raise errors.Unavailable(
                f"the node of pod {self._attempt.pod} has not answered for {silent:.0f} s (budgets.api_seconds): {trouble}"
            ) from trouble
        return None

    def _drain(self) -> ScriptEnd | None:
        """Read what a dead build container has left, through the helper, which shares the control volume."""
        if self._script.container == "helper":
            return None
        try:
            end = self._follow("helper", drain=True)
        except errors.ClusterError:
            end = None
        write_all(self._output, self._state.rest())
        return end if isinstance(end, ScriptEnd) else None
