"""Sends a spool to CDash: each document once, Done.xml last. Retries only what CDash certainly does not have.

The story is `submit`. A later call sends what stays in the spool. If CDash may have a document, it is marked unknown; CDash
is asked about it if the token allows that, and it is sent again only on demand. Obeys: CDash 5.3, SubmissionController.php
and DoneHandler.php: CDash counts a file twice that it gets twice, and deletes a build if it gets a file after Done.xml.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ctest_xml import spool
from ctest_xml.answers import Answer, Delivery
from ctest_xml.cdash import Server, put, stored_documents
from ctest_xml.check import check
from ctest_xml.errors import BadInput
from ctest_xml.files import write_whole
from ctest_xml.identity import Identity, identity_of
from ctest_xml.model import Done
from ctest_xml.spool import DONE, State
from ctest_xml.write import done as write_done

_STATES: dict[Delivery, State] = {
    Delivery.SENT: "sent",
    Delivery.NOT_SENT: "ready",
    Delivery.REFUSED: "refused",
    Delivery.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a sender waits before it tries again, and by what clock."""

    retry_after_seconds: tuple[float, ...] = (1, 5)
    """Waits before each retry of a document that CDash certainly does not have."""
    ask_after_seconds: tuple[float, ...] = (0, 3, 10)
    """Waits before each question about unknown documents."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentResult:
    """What became of one document in this call."""

    name: str
    delivery: Delivery
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a folder."""

    folder: Path
    results: tuple[DocumentResult, ...] = ()
    left: dict[str, State] = field(default_factory=dict)
    """Documents that CDash may lack, with their state."""
    link: str = ""
    """The build's page; empty: CDash gave no build id (it may be in maintenance and take the files later)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who learns how far a submission is."""

    sent: Callable[[str, int, int], None] = lambda _name, _sent, _size: None
    """Gets a document's name, the bytes sent of it so far, and its size."""
    retried: Callable[[], object] = lambda: None
    """Called before a document is sent again."""
    settled: Callable[[str], object] = lambda _name: None
    """Gets the name of a document when it is known what became of it in this call."""


def to_send(folder: Path, *, again: bool) -> dict[str, State]:
    """Return the documents that `submit` would send, with their states; without Done.xml, which it writes itself."""
    states = {"ready", "unknown", "refused"} if again else {"ready"}
    return {name: state for name, state in spool.documents(folder).items() if name != DONE and state in states}


def submit(
    folder: Path,
    *,
    server: Server,
    again: bool = False,
    timing: Timing | None = None,
    listener: Listener | None = None,
) -> Report:
    """Send the ready documents of a folder; with `again`, also unknown and refused ones. Never raises for the network.

    Raises BadInput for documents of different builds.
    """
    spool.mark_abandoned(folder)
    submission = _Submission(folder, server, _identity(folder), timing or Timing(), listener or Listener())
    results: list[DocumentResult] = []
    if spool.documents(folder).get(DONE, "ready") == "ready":
        results += _send_all(submission, again=again)
        results += _resolve(submission, {result.name for result in results if result.delivery is Delivery.UNKNOWN})
        if _write_done(submission):
            results += _results_of(DONE, _send(submission, DONE, "ready"))
    number = spool.build_id(folder)
    return Report(
        folder=folder,
        results=tuple(results),
        left={name: state for name, state in spool.documents(folder).items() if state != "sent"},
        link=_link(server, number),
    )


def _link(server: Server, build_id: str) -> str:
    """Return the build's page; empty if CDash gave no build id."""
    return f"{server.base}/builds/{build_id}" if build_id else ""


@dataclass(frozen=True, slots=True)
class _Submission:
    """What every step of one submission needs."""

    folder: Path
    server: Server
    identity: Identity
    timing: Timing
    listener: Listener


def _identity_of(folder: Path, name: str) -> Identity:
    """Return a document's identity. Looks for its file again if another sender has just renamed it."""
    while True:
        try:
            return identity_of(spool.path_of(folder, name, spool.documents(folder).get(name, "sent")))
        except FileNotFoundError:
            if name not in spool.documents(folder):
                raise


def _identity(folder: Path) -> Identity:
    names = {_identity_of(folder, name) for name in spool.documents(folder) if name != DONE}
    subprojects = {identity.subproject for identity in names if identity.subproject}
    builds = {replace(identity, subproject="") for identity in names}
    if len(builds) != 1:
        raise BadInput(f"{folder} holds documents of {len(builds)} builds; give each build its own folder")
    return replace(builds.pop(), subproject=subprojects.pop() if len(subprojects) == 1 else "")


def _send_all(submission: _Submission, *, again: bool) -> Iterator[DocumentResult]:
    """Send one document after another, until an answer shows that the others would get the same."""
    for name, state in to_send(submission.folder, again=again).items():
        answer = _send(submission, name, state)
        submission.listener.settled(name)
        yield from _results_of(name, answer)
        if answer and (answer.applies_to_all or answer.may_retry):
            return


def _results_of(name: str, answer: Answer | None) -> Iterator[DocumentResult]:
    if answer:
        yield DocumentResult(name=name, delivery=answer.delivery, reason=answer.reason)


def _send(submission: _Submission, name: str, state: State) -> Answer | None:
    """Claim, check, send and settle one document; None: another sender has it."""
    with spool.claimed(submission.folder, name, state) as path:
        if path is None:
            return None
        answer = _refused_by_us(path) or _put(submission, path, name)
        spool.settle(submission.folder, name, _STATES[answer.delivery])
    return answer


def _refused_by_us(path: Path) -> Answer | None:
    faults = check(path)
    if not faults:
        return None
    rest = f" (and {len(faults) - 1} more; see `check`)" if len(faults) > 1 else ""
    return Answer(delivery=Delivery.REFUSED, reason=f"CDash would not store all of it: {faults[0]}{rest}")


def _put(submission: _Submission, path: Path, name: str) -> Answer:
    """Send a claimed document; retry while CDash certainly does not have it and a wait may help."""

    def once() -> Answer:
        return put(
            submission.server,
            path,
            name=name,
            identity=submission.identity,
            progress=partial(submission.listener.sent, name),
        )

    answer = once()
    for wait in submission.timing.retry_after_seconds:
        if not answer.may_retry:
            break
        submission.timing.sleep(wait)
        submission.listener.retried()
        answer = once()
    if answer.delivery is Delivery.SENT:
        link = _link(submission.server, answer.build_id)
        spool.add_receipt(submission.folder, name, build_id=answer.build_id, link=link)
    return answer


def _resolve(submission: _Submission, unknown: set[str]) -> Iterator[DocumentResult]:
    """Ask CDash about the documents that this call left unknown; only a yes changes a state."""
    for wait in submission.timing.ask_after_seconds:
        if not unknown:
            return
        submission.timing.sleep(wait)
        there = stored_documents(submission.server, submission.identity)
        if there is None:
            return
        for name in sorted(name for name in unknown if there.get(name)):
            with spool.claimed(submission.folder, name, "unknown") as path:
                if path is not None:
                    spool.settle(submission.folder, name, "sent")
            unknown.discard(name)
            yield DocumentResult(name=name, delivery=Delivery.SENT, reason="no answer came, but CDash has stored it")


def _write_done(submission: _Submission) -> bool:
    """Write Done.xml if nothing is left that could still be sent; return whether it is to be sent."""
    folder = submission.folder
    states = spool.documents(folder)
    number = spool.build_id(folder)
    if DONE in states:
        return states[DONE] == "ready"
    # Done.xml names the build by its id. It must not be sent before a document: CDash would delete the build.
    if not number or "sent" not in states.values() or not set(states.values()) <= {"sent", "refused"}:
        return False
    with spool.alone(folder):  # of two senders that find all documents sent, the second finds Done.xml
        if DONE not in spool.documents(folder):
            with write_whole(folder / DONE) as file:
                write_done(file, done=Done(build_id=number, time_seconds=submission.timing.now()))
    return spool.documents(folder).get(DONE) == "ready"
