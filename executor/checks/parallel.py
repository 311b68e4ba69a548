"""Asks several targets at once, each for a few seconds: one that hangs costs nothing but its own line."""

import threading
import time
from collections.abc import Callable, Mapping

from executor.checks.finding import Finding, Kind, fault
from executor.errors import DriverError

TARGET_SECONDS = 5.0


def ask_all(targets: Mapping[str, Callable[[], list[Finding]]], *, seconds: float = TARGET_SECONDS) -> list[Finding]:
    """Return what all targets find, in their order; a fault for each that has not answered within `seconds`.

    What a target raises is its finding, too: the others are still of use.
    """
    answers: dict[str, list[Finding]] = {}
    # Daemons: what hangs in a system call keeps no process alive.
    threads = [
        threading.Thread(target=_ask, args=(name, target, answers), daemon=True, name=name)
        for name, target in targets.items()
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    silent = f"no answer within {seconds:.0f} s"
    return [
        finding
        for name in targets
        for finding in answers.get(name) or [fault(name, silent, "it may answer later: try again", kind=Kind.SILENT)]
    ]


def _ask(name: str, target: Callable[[], list[Finding]], answers: dict[str, list[Finding]]) -> None:
    try:
        answers[name] = target()
    except DriverError as error:
        answers[name] = [fault(name, str(error), "correct it, and check again")]
    except Exception as error:  # noqa: BLE001 (a check that breaks must not hide what the others find)
        answers[name] = [fault(name, f"it could not be checked: {error!r}", "report this line", kind=Kind.REFUSED)]
