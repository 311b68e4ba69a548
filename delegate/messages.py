"""What clients read when there is no answer: status, sentence and advice for each way a request is refused or ends.

The body is a problem document (RFC 9457).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from delegate.request_queue import Ending, Refusal


@dataclass(frozen=True)
class Problem:
    """A kind of failure as HTTP says it."""

    status: int
    title: str
    detail: str
    retry: bool = False
    """Whether the same request may succeed a little later."""


REFUSALS = {
    Refusal.FULL: Problem(429, "too many requests", "All places in the queue are taken; try again later.", retry=True),
    Refusal.NO_WORKER: Problem(503, "no worker", "No worker asks for requests of this kind; try again later.", retry=True),
    Refusal.DRAINING: Problem(503, "shutting down", "This gateway is shutting down; try another one.", retry=True),
    Refusal.QUARANTINED: Problem(
        502, "in quarantine", "This very request crashed its workers and is not tried again for a while; change it."
    ),
}
ENDINGS = {
    Ending.REFUSED: Problem(422, "refused by the command", "The command refused the request."),
    Ending.CRASHED: Problem(
        502, "computation crashed", "Each worker that tried crashed; the same request is refused for a while."
    ),
    Ending.UNRUNNABLE: Problem(502, "command can't be run", "The worker can't run its command; see the worker's log."),
    Ending.UNAVAILABLE: Problem(
        503, "not now", "The command can't compute this at the moment; try again later.", retry=True
    ),
    Ending.LATE_WAITING: Problem(
        504, "deadline passed", "The deadline passed before a worker was free; nothing was computed."
    ),
    Ending.LATE_RUNNING: Problem(504, "deadline passed", "The deadline passed during the computation, which was stopped."),
    Ending.NO_WORKER: Problem(503, "no worker", "The last worker is gone; try again later.", retry=True),
    Ending.DRAINED: Problem(503, "shutting down", "This gateway ended before the computation did; ask again.", retry=True),
}
"""All endings but an answer and a move to another address."""


def problem(
    status: int, title: str, detail: str, *, request_id: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem document."""
    document = {"title": title, "status": status, "detail": detail} | ({"request_id": request_id} if request_id else {})
    kept = {"Cache-Control": "no-store"} | dict(headers or {})
    return Response(json.dumps(document) + "\n", status, kept, media_type="application/problem+json")


def problem_of(kind: Problem, *, request_id: str, retry_seconds: int, message: str = "") -> Response:
    """Return the document of a refusal or an ending; `message` is what the worker says."""
    headers = {"Retry-After": str(retry_seconds)} if kind.retry else {}
    return problem(kind.status, kind.title, message or kind.detail, request_id=request_id, headers=headers)
