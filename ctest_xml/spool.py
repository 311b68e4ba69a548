"""The spool: a folder of one build's documents. The name of each file shows what became of it.

    Build.xml           to be sent                 Build.xml.sent      CDash has it
    Build.xml.sending   a sender has claimed it    Build.xml.refused   CDash, or `check`, refused it
    Build.xml.unknown   CDash may have it: only a person decides to send it again

A rename claims a document, so two senders never send the same one. A lock on the file shows whether its sender is alive.
Knows nothing of HTTP.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from ctest_xml.errors import BadInput
from ctest_xml.naming import DOCUMENTS

State = Literal["ready", "sending", "sent", "refused", "unknown"]
DONE = "Done.xml"
_STATES: tuple[State, ...] = ("ready", "sending", "unknown", "refused", "sent")
"""In the order in which a document goes through them."""
_RECEIPTS = "receipts.jsonl"


def folders(top: Path) -> list[Path]:
    """Return the folders at and below `top` that hold documents. Raises BadInput when there is none."""
    if not os.path.isdir(top):  # noqa: PTH112  a name that is too long is an error to pathlib, and not absence
        raise BadInput(f"{top} is not a folder; give the one that holds Build.xml and the others")
    found = [folder for folder in (top, *sorted(path for path in top.rglob("*") if path.is_dir())) if documents(folder)]
    if not found:
        raise BadInput(f"{top} holds none of {', '.join(DOCUMENTS)}; give the folder that they were written to")
    return found


def documents(folder: Path) -> dict[str, State]:
    """Return the state of each document of a folder, in the order of sending; Done.xml last."""
    states: dict[str, State] = {}
    for name in (*DOCUMENTS, DONE):
        for state in (*_STATES, *_STATES):  # twice: a sender that fails moves a document back to the first state meanwhile
            if path_of(folder, name, state).exists():
                states[name] = state
                break
    return states


def path_of(folder: Path, name: str, state: State) -> Path:
    """Return the path of a document in a state."""
    return folder / (name if state == "ready" else f"{name}.{state}")


@contextmanager
def claimed(folder: Path, name: str, state: State) -> Iterator[Path | None]:
    """Claim a document for sending; None: another sender has it. Its file is locked until the end of the `with`."""
    source = path_of(folder, name, state)
    try:
        file = source.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = path_of(folder, name, "sending")
            source.rename(path)
        except (BlockingIOError, FileNotFoundError):
            yield None
            return
        yield path


def settle(folder: Path, name: str, state: State) -> None:
    """Give a claimed document its new state."""
    path_of(folder, name, "sending").rename(path_of(folder, name, state))


def mark_abandoned(folder: Path) -> None:
    """Make each document unknown whose sender claimed it and died: CDash may have it."""
    for name, state in documents(folder).items():
        if state != "sending":
            continue
        # The lock is refused while the sender lives; the kernel drops it when the sender dies.
        with suppress(FileNotFoundError, BlockingIOError), path_of(folder, name, "sending").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            settle(folder, name, "unknown")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let other senders that call this wait until the end of the `with`."""
    with (folder / _RECEIPTS).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def add_receipt(folder: Path, name: str, *, build_id: str, link: str) -> None:
    """Record that CDash has a document; `link` is the build's page, where its id is known."""
    with (folder / _RECEIPTS).open("a") as file:
        file.write(json.dumps({"file": name, "build_id": build_id, "link": link}) + "\n")


def build_id(folder: Path) -> str:
    """Return the build id that CDash gave last for this folder; empty: none yet."""
    found = ""
    with suppress(FileNotFoundError):
        for line in (folder / _RECEIPTS).read_text().splitlines():
            with suppress(ValueError):
                found = json.loads(line).get("build_id") or found
    return found
