"""Carries a plan out, line by line. Every request is fenced, and may be repeated; a failed line does not stop the others.

Log, Event and metric come from the line's own reason. A dry run, of all or of a pool, ends here with one log line. What
each plan says again, such as a note, a line that fails or one of a dry run, is logged at growing intervals.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from autoscaler.cluster.api import Api
from autoscaler.cluster.objects import NodeObject
from autoscaler.cluster.reading import instance_of
from autoscaler.errors import AutoscalerError, NotLeader
from autoscaler.hands.hand import Fence, Hand
from autoscaler.outages import Outage, Repetition
from autoscaler.policy import Policy
from autoscaler.scale_plan import (
    CordonNode,
    DeleteNodeObject,
    DeletePod,
    LaunchNodes,
    Line,
    LowerDesired,
    Note,
    RemoveNode,
    ScalePlan,
    TerminateInstance,
    UncordonNode,
)
from autoscaler.service.log import LOGGER
from autoscaler.service.metrics import Metrics
from autoscaler.service.scale_in import ABORTED, DONE, Scaler

_LOG = logging.getLogger(LOGGER)
_DIRECTION: dict[type, str] = {LaunchNodes: "out", CordonNode: "in", RemoveNode: "in", TerminateInstance: "in"}
_MOST_REPEATED = 1000
_SKIPPED, _FAILED, _DRY_RUN = "skipped", "failed", "dry_run"
Tell = Callable[[Line, str, str], None]


class Applier:
    """What turns lines into requests."""

    def __init__(  # noqa: PLR0913 (each part that it uses)
        self,
        api: Api,
        scaler: Scaler,
        *,
        hands: Mapping[str, Hand],
        policy: Policy,
        metrics: Metrics,
        tell: Tell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` is called with each line that was carried out, its result and its detail: it makes the Events."""
        self._api, self._scaler, self._hands, self._policy = api, scaler, hands, policy
        self._metrics, self._tell = metrics, tell
        self._clock = clock
        self._repeated: dict[tuple[str, ...], tuple[Repetition, str]] = {}
        """What plans say again and again, with the message of its end; "" needs none."""
        self._unprotected = Outage("machines are not protected", "machines are protected again", clock=clock)

    def apply(self, plan: ScalePlan, *, fence: Fence, stopped: Callable[[], bool] = lambda: False) -> list[tuple[Line, str]]:
        """Carry the lines out; return each with its result. Raises NotLeader: the rest is another controller's.

        `stopped` is asked between two lines: a line that has begun is carried out to its end.
        """
        results: list[tuple[Line, str]] = []
        self._protect(plan, fence)
        for number, line in enumerate(plan.lines):
            if stopped():
                break
            if isinstance(line, Note):
                self._note(line)
                continue
            if self._policy.dry_run or getattr(line, "pool", "") in plan.dry_run_pools:
                result, detail = _DRY_RUN, ""
            else:
                order = f"{_base36(int(plan.decided_at * 1000))}-{number}"
                result, detail = self._carried_out(line, order=order, fence=fence)
            results.append((line, result))
            self._report(line, result, detail)
        self._close_repeated()
        return results

    def _protect(self, plan: ScalePlan, fence: Fence) -> None:
        """Have each hand protect its machines, unless all of its pools are only tried out."""
        if self._policy.dry_run:
            return
        live = {name: hand for name, hand in self._hands.items() if name not in plan.dry_run_pools}
        for hand in dict.fromkeys(live.values()):
            try:
                count = hand.protect(fence=fence)
            except NotLeader:
                raise
            except AutoscalerError as error:
                self._metrics.fault("apply")
                self._unprotected.failed(error)
                continue
            self._unprotected.worked()
            if count:
                _LOG.info("machines are protected from the cloud's own scale-in", extra={"count": count})

    def _carried_out(self, line: Line, *, order: str, fence: Fence) -> tuple[str, str]:
        try:
            said = self._do(line, order=order, fence=fence)
        except NotLeader:
            raise
        except AutoscalerError as error:
            self._metrics.fault("apply")
            return _FAILED, str(error)
        if said in {DONE, ABORTED}:
            return said, ""
        return _SKIPPED, said

    def _do(self, line: Line, *, order: str, fence: Fence) -> str:  # noqa: C901 (a table of lines)
        """Carry one line out; return `done`, `aborted`, or why nothing was done."""
        match line:
            case LaunchNodes():
                self._hands[line.pool].launch(line, order=order, fence=fence)
            case CordonNode():
                return self._scaler.cordon(line, fence=fence)
            case UncordonNode():
                return self._scaler.undo(line.node, fence=fence)
            case RemoveNode():
                return self._scaler.remove(line, self._hands[line.pool], fence=fence)
            case TerminateInstance():
                hand = self._hands[line.pool]
                if line.instance and self._is_node(line.instance):
                    return "it is a node now"
                if line.instance:
                    hand.end(line.pool, line.instance, node="", fence=fence)
                hand.cancel(line.pool, line.launch, fence=fence)
            case DeleteNodeObject():
                fence()
                self._api.delete_node(line.node)
            case DeletePod():
                fence()
                self._api.delete_pod(line.namespace, line.pod, uid=line.uid)
            case LowerDesired():
                self._hands[line.pool].lower(line, fence=fence)
            case Note():
                pass
        return DONE

    def _is_node(self, instance: str) -> bool:
        """Return whether a machine is a node, by the API server's store: it may have become one, with a job, just now."""
        pages = self._api.pages("nodes", NodeObject)
        return any(instance_of(node.spec.provider_id) == instance for page in pages for node in page.items)

    def _report(self, line: Line, result: str, detail: str) -> None:
        action = line.__struct_config__.tag
        if result == ABORTED:
            self._metrics.aborted.inc()
        self._metrics.action(_DIRECTION.get(type(line), "other"), line.reason, result)
        level = logging.WARNING if result == _FAILED else logging.INFO
        about: dict[str, Any] = {
            key: getattr(line, key) for key in ("pool", "node", "instance", "type", "count", "pod") if hasattr(line, key)
        }
        about |= {"action": action, "reason": line.reason, "result": result, "detail": detail}
        if result in {DONE, ABORTED}:
            _LOG.log(level, line.message, extra=about)
            self._tell(line, result, detail)
            return
        named = tuple(str(about[key]) for key in sorted(about.keys() - {"detail"}))
        # A breaker may have kept it from being tried again.
        end = f"it has not failed again: {line.message}" if result == _FAILED else ""
        self._log_repeated(named, line.message, end=end, level=level, **about)

    def _note(self, note: Note) -> None:
        """Log a note by its subject and reason: the numbers in its message change with each decision."""
        about = {"action": "note", "subject": note.subject, "reason": note.reason}
        self._log_repeated(
            tuple(about.values()), note.message, end=f"no longer: {note.message}", level=logging.INFO, **about
        )

    def _log_repeated(self, key: tuple[str, ...], message: str, *, end: str, level: int, **about: Any) -> None:
        repetition = self._repeated[key][0] if key in self._repeated else Repetition(clock=self._clock)
        if key not in self._repeated and len(self._repeated) >= _MOST_REPEATED:
            self._repeated.pop(next(iter(self._repeated)))
        self._repeated[key] = (repetition, end)
        if repetition.again():
            often = {"repeated": repetition.count, "seconds": repetition.seconds} if repetition.count > 1 else {}
            _LOG.log(level, message, extra=about | often)

    def _close_repeated(self) -> None:
        """Log the end of what plans have not said for a while."""
        for key in [key for key, (repetition, _) in self._repeated.items() if repetition.is_over()]:
            repetition, end = self._repeated.pop(key)
            if end:
                _LOG.info(end, extra={"repeated": repetition.count, "seconds": repetition.seconds})


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return text or "0"
