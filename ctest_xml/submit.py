"""Sends a spool to CDash: each document once, Done last; repeats only what was certainly not taken.

The story is `submit`. What stays in the spool can be sent by a later call; what may have been taken is marked unknown, asked
for where the token may ask, and sent again only on demand. Obeys: CDash 5.3, SubmissionController.php and DoneHandler.php: a
file sent twice counts twice; anything after Done.xml deletes the build.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ctest_xml import spool
from ctest_xml.answers import Answer, Verdict
from ctest_xml.cdash import Server, put, stored
from ctest_xml.check import check
from ctest_xml.errors import BadInput
from ctest_xml.files import whole
from ctest_xml.identity import Identity, identity_of
from ctest_xml.model import Done
from ctest_xml.spool import DONE, State
from ctest_xml.write import done as write_done

_STATES: dict[Verdict, State] = {
    Verdict.TAKEN: "sent",
    Verdict.NOT_TAKEN: "ready",
    Verdict.REFUSED: "refused",
    Verdict.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a sender waits before it tries again, and by what clock."""

    repeat_after_seconds: tuple[float, ...] = (1, 5)
    """Waits before each repetition of what was certainly not taken."""
    ask_after_seconds: tuple[float, ...] = (0, 3, 10)
    """Waits before each question about what is unknown."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one document in this call."""

    name: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a folder."""

    folder: Path
    outcomes: tuple[Outcome, ...] = ()
    left: dict[str, State] = field(default_factory=dict)
    """Documents that CDash does not have for certain, with their state."""
    link: str = ""
    """The build's page; empty: CDash gave no build id (it may be in maintenance and take the files later)."""


def _silent(_name: str, _sent: int, _size: int) -> None:
    pass


def submit(
    folder: Path,
    *,
    server: Server,
    again: bool = False,
    timing: Timing | None = None,
    progress: Callable[[str, int, int], None] = _silent,
) -> Report:
    """Send what is ready in a folder; with `again` also what is unknown or was refused. Never raises for the network.

    `progress` is told a document's name, the bytes sent and its size. Raises BadInput for documents of different builds.
    """
    spool.mark_abandoned(folder)
    submission = _Submission(folder, server, _identity(folder), timing or Timing(), progress)
    outcomes: list[Outcome] = []
    if spool.documents(folder).get(DONE, "ready") == "ready":
        outcomes += _send_all(submission, again=again)
        outcomes += _resolve(submission, {outcome.name for outcome in outcomes if outcome.verdict is Verdict.UNKNOWN})
        if _write_done(submission):
            outcomes += _told(DONE, _send(submission, DONE, "ready"))
    number = spool.build_id(folder)
    return Report(
        folder=folder,
        outcomes=tuple(outcomes),
        left={name: state for name, state in spool.documents(folder).items() if state != "sent"},
        link=f"{server.base}/builds/{number}" if number else "",
    )


@dataclass(frozen=True, slots=True)
class _Submission:
    """What every step of one submission needs."""

    folder: Path
    server: Server
    identity: Identity
    timing: Timing
    progress: Callable[[str, int, int], None]


def _identity_of(folder: Path, name: str) -> Identity:
    """Return what a document says, wherever it lies by now: another sender renames it on its way to `sent`."""
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
        raise BadInput(f"{folder} holds documents of {len(builds)} builds; give each build a folder of its own")
    return replace(builds.pop(), subproject=subprojects.pop() if len(subprojects) == 1 else "")


def _send_all(submission: _Submission, *, again: bool) -> Iterator[Outcome]:
    """Send document after document, until one shows that the others would fare no better."""
    wanted = {"ready", "unknown", "refused"} if again else {"ready"}
    for name, state in spool.documents(submission.folder).items():
        if name == DONE or state not in wanted:
            continue
        answer = _send(submission, name, state)
        yield from _told(name, answer)
        if answer and (answer.ends_all or answer.may_repeat):
            return


def _told(name: str, answer: Answer | None) -> Iterator[Outcome]:
    if answer:
        yield Outcome(name=name, verdict=answer.verdict, reason=answer.reason)


def _send(submission: _Submission, name: str, state: State) -> Answer | None:
    """Claim, check, send and settle one document; None: another sender has it."""
    with spool.claimed(submission.folder, name, state) as path:
        if path is None:
            return None
        answer = _refused_by_us(path) or _put(submission, path, name)
        spool.settle(submission.folder, name, _STATES[answer.verdict])
    return answer


def _refused_by_us(path: Path) -> Answer | None:
    faults = check(path)
    if not faults:
        return None
    rest = f" (and {len(faults) - 1} more; see `check`)" if len(faults) > 1 else ""
    return Answer(verdict=Verdict.REFUSED, reason=f"CDash would not store all of it: {faults[0]}{rest}")


def _put(submission: _Submission, path: Path, name: str) -> Answer:
    """Send a claimed document, again while it was certainly not taken and waiting may help."""

    def once() -> Answer:
        return put(
            submission.server, path, name=name, identity=submission.identity, progress=partial(submission.progress, name)
        )

    answer = once()
    for wait in submission.timing.repeat_after_seconds:
        if not answer.may_repeat:
            break
        submission.timing.sleep(wait)
        answer = once()
    if answer.verdict is Verdict.TAKEN:
        spool.add_receipt(submission.folder, name, build_id=answer.build_id)
    return answer


def _resolve(submission: _Submission, unknown: set[str]) -> Iterator[Outcome]:
    """Ask CDash about what this call left unknown; only a yes settles anything."""
    for wait in submission.timing.ask_after_seconds:
        if not unknown:
            return
        submission.timing.sleep(wait)
        there = stored(submission.server, submission.identity)
        if there is None:
            return
        for name in sorted(name for name in unknown if there.get(name)):
            with spool.claimed(submission.folder, name, "unknown") as path:
                if path is not None:
                    spool.settle(submission.folder, name, "sent")
            unknown.discard(name)
            yield Outcome(name=name, verdict=Verdict.TAKEN, reason="no answer came, but CDash says that it has it")


def _write_done(submission: _Submission) -> bool:
    """Write Done.xml when nothing is left that could still be sent; tell whether there is one to send."""
    states = spool.documents(submission.folder)
    number = spool.build_id(submission.folder)
    if DONE in states:
        return states[DONE] == "ready"
    if not number or "sent" not in states.values() or not set(states.values()) <= {"sent", "refused"}:
        return False
    with whole(submission.folder / DONE) as file:
        write_done(file, done=Done(build_id=number, time_seconds=submission.timing.now()))
    return True
