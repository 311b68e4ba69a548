"""Run one script in a container and pass its output on: unchanged, in order, once, across broken connections.

The script runs detached in the container, so no connection matters to it. Doing only: where the driver stands is
`following`, what the end means is `verdict`.
"""

import os
import select
import time
from collections.abc import Callable

import msgspec

from executor import errors
from executor.attempt import Attempt
from executor.exec_stream import STATUS, STDERR, STDOUT, Channel, capture
from executor.kube import Api
from executor.log import Log, write_all
from executor.notices import Notices
from executor.pod_agent import agent, is_needless
from executor.pod_status import Pod
from executor.pods import find
from executor.settings import Settings
from executor.stream_state import Following, ScriptEnd

_ALIVE_SECONDS = 20.0  # or a quarter of what makes an orphan
_SILENT_SECONDS = 30.0  # the agent says `beat` every five
_KILL_SECONDS = 5.0
_LOG_REST_SECONDS = 30.0
_DRAIN_SECONDS = 1.0
_WATCH_AFTER_SECONDS = 2.0
_EARLY_ENDS = 5
_REFUSED_SECONDS = 60.0  # a restarted API server refuses everything until it has read its roles


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A script that is to run."""

    content: bytes
    container: str
    stage: str
    folder: str
    """Name of its folder in the control volume: the stage and a random part, so that no two calls share one."""


class PodLoss(msgspec.Struct, frozen=True, kw_only=True):
    """The container went before the script's exit code was known."""

    pod: Pod | None
    """What is left of the pod; None if nothing is."""


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """The script was ended because the Runner said so."""


class ScriptRun:
    """One run of a script: its connection, its place in the output, and the clock. Used once."""

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
        self._following = Following(script.folder)
        self._started = now()
        self._heard = now()
        self._alive_seconds = min(_ALIVE_SECONDS, settings.orphan_after_seconds / 4)
        self._alive_sent = 0.0
        self._exit_seen: float | None = None
        self._early_ends = 0
        self._term_sent: float | None = None
        self._kill_sent: float | None = None

    def result(self) -> ScriptEnd | PodLoss | Cancelled:
        """Run the script to its end, reconnecting as often as needed.

        Raises Unavailable when the API has been silent for its budget, RequestError if the image cannot run scripts,
        RunnerGone if nobody listens.
        """
        pause = 0.05
        while True:
            connected, received = self._now(), self._following.received
            try:
                end = self._follow(self._script.container)
            except errors.ClusterError as error:
                end = None
                trouble: errors.ClusterError = error
                self._early_ends += isinstance(error, errors.Garbled)
            else:
                trouble = errors.Unavailable("the exec stream ended early")
            end = end or self._give_up()
            if end is not None:
                return end
            self._notices.runner.check()
            if self._early_ends > _EARLY_ENDS:
                words = trouble if isinstance(trouble, errors.Garbled) else self._following.last_words
                raise errors.ClusterError(
                    f"the agent in container {self._script.container} ends early, again and again: {words}"
                )
            loss = self._look(trouble)
            if loss is not None:
                return self._drain() or loss
            was_of_use = self._following.received > received or self._now() - connected > 10
            pause = 0.05 if was_of_use else min(pause * 2, 5.0)
            self._notices.sleep(pause)

    def _follow(self, container: str, *, drain: bool = False) -> ScriptEnd | Cancelled | None:
        """Follow over one connection; return None if it ended early. Raises ClusterError."""
        state = self._following
        state.new_connection()
        self._exit_seen = None  # only a connection that stands can show that the log's end does not come
        last = ["last"] if self._script.stage in self._attempt.last_stages or is_needless(self._script.stage) else []
        place = [str(number) for number in (state.segment, state.base, state.received, len(self._script.content))]
        words = agent(self._script.container, "run", self._script.folder, *place, *last)
        with Channel(self._api, self._attempt.namespace, self._attempt.pod, container, words) as channel:
            self._heard = self._now()
            while True:
                frame = self._next_frame(channel)
                if frame is not None and not self._take(channel, *frame):
                    return self._ended()
                end = self._ended()
                if end is not None:
                    return end
                if drain and self._now() - self._heard > _DRAIN_SECONDS:
                    return None
                self._keep_up(channel)

    def _next_frame(self, channel: Channel) -> tuple[int, bytes] | None:
        """Return what comes within a second, nothing otherwise; the end of the connection counts as channel -1."""
        if not channel.has_buffered:
            ready = select.select([channel.fileno(), self._notices.fileno()], [], [], 1.0)[0]
            if self._notices.fileno() in ready:
                self._notices.clear()
            if channel.fileno() not in ready:
                return None
        frame = channel.receive()
        self._heard = self._now()
        return frame if frame is not None else (-1, b"")

    def _take(self, channel: Channel, number: int, content: bytes) -> bool:
        """Take one frame; tell whether more may come."""
        state = self._following
        if number == STDOUT:
            write_all(self._output, state.output(content))
        elif number == STDERR:
            state.told(content)
            if state.needs_script:
                state.needs_script = False
                channel.send(self._script.content)
            if state.fault:
                raise errors.RequestError(
                    f"{self._script.stage} cannot run in container {self._script.container}: {state.fault}"
                )
        else:
            self._early_ends += number == STATUS
            return False
        done = state.acknowledged()
        if done and state.is_following:
            channel.send(b"acked %d %d\n" % done)
        return True

    def _keep_up(self, channel: Channel) -> None:
        """Do what is due: show that the driver lives, tell notices, pass a cancel on. Raises Unavailable on silence."""
        now = self._now()
        self._notices.runner.check()
        if self._following.is_following and now - self._alive_sent > self._alive_seconds:
            self._alive_sent = now
            channel.send(b"alive %d.%d\n" % (os.getpid(), now))
        if now - self._heard > _SILENT_SECONDS:
            raise errors.Unavailable(f"the exec stream was silent for {_SILENT_SECONDS:.0f} s")
        if now - self._started > _WATCH_AFTER_SECONDS:
            self._notices.watch(self._api, self._attempt)
        for words in self._notices.news():
            self._job_log.warning(f"the pod goes: {words}. What ends by then counts")
        if self._notices.pod_is_gone:
            raise errors.Unavailable("the pod was deleted")
        if self._notices.terminated:
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
        """Signal the script; a failure to do so is not worse than a script that does not listen."""
        words = agent(self._script.container, "signal", self._script.folder, name)
        try:
            with Channel(self._api, self._attempt.namespace, self._attempt.pod, self._script.container, words) as channel:
                _, complaint, code = capture(channel, timeout_seconds=5)
        except errors.ClusterError as error:
            code, complaint = 1, str(error).encode()
        if code:
            told = complaint.decode("utf-8", "replace").strip()[:500]
            self._job_log.warning(f"the script could not be sent {name}: {told}")

    def _ended(self) -> ScriptEnd | Cancelled | None:
        """Return the end if everything is known; a log whose last bytes do not come is given up after a while."""
        end = self._following.ended()
        if end is None and self._following.ended(give_up_log=True) is not None:
            self._exit_seen = self._exit_seen or self._now()
            late = self._now() - self._exit_seen > _LOG_REST_SECONDS
            end = self._following.ended(give_up_log=late)
        if end is None:
            return self._give_up()
        write_all(self._output, self._following.rest())
        return Cancelled() if self._term_sent is not None else end

    def _give_up(self) -> Cancelled | None:
        """Stop waiting for a script that was killed, or could not even be reached for its cancel."""
        now = self._now()
        if self._kill_sent is not None and now - self._kill_sent > _KILL_SECONDS:
            return Cancelled()
        if self._notices.terminated_at is not None:
            limit = self._settings.cancel_seconds + 2 * _KILL_SECONDS
            if now - self._notices.terminated_at > limit:
                return Cancelled()
        return None

    def _look(self, trouble: errors.ClusterError) -> PodLoss | None:
        """Look at the pod after a broken connection; return a loss if the container is gone.

        Raises Unavailable when nothing has been heard from the API for its budget.
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
        if pod.metadata.uid != self._attempt.uid:
            return PodLoss(pod=None)
        if pod.is_over or pod.container(self._script.container).terminated is not None:
            return PodLoss(pod=pod)
        if not isinstance(trouble, errors.Unavailable | errors.NotFound | errors.Rejected) and silent > _REFUSED_SECONDS:
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
        write_all(self._output, self._following.rest())
        return end if isinstance(end, ScriptEnd) else None
