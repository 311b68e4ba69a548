"""Writes `index.html` of a folder of run folders: read anew each time, so that builds side by side lose nothing.

Each writer holds a lock on the folder while it reads and writes: the last one to write has read all that was there. A
file of that name that we did not write stays.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from buildjob.files import write_whole
from buildjob.report.many import index_page
from buildjob.report.many.folder import Collection, Reader
from buildjob.report.many.timing import MOST_PIPELINES, PipelineTime, pipelines
from buildjob.run_folder import INDEX_PAGE

LONGEST_WAIT_SECONDS = 20.0
_STEP_SECONDS = 0.05
_OURS = b'<meta name="generator" content="spack-farm">'
_HEAD_BYTES = 4096


class NotOurs(Exception):  # noqa: N818  a page's fate
    """There is a file of that name that spack-farm did not write."""


def update(folder: Path, reader: Reader | None = None) -> None:
    """Write the index page of a folder. Raises OSError, and NotOurs, naming the file."""
    reader = reader or Reader(folder)
    with turn(folder):
        write(folder / INDEX_PAGE, *read(reader))


def read(reader: Reader) -> tuple[Collection, list[PipelineTime]]:
    """Return what a folder holds, and where the time of its newest pipelines went."""
    collection = reader.read()
    return shown(collection), pipelines(collection.entries)[:MOST_PIPELINES]


def shown(collection: Collection) -> Collection:
    """Return the collection without the driver's words about jobs of which the agent has a word of its own."""
    known = {entry.job.id for entry in collection.entries if entry.job and not entry.is_driver_s}
    kept = [
        entry for entry in collection.entries if not (entry.is_driver_s and entry.job is not None and entry.job.id in known)
    ]
    return Collection(entries=tuple(kept), faults=collection.faults, left_out=collection.left_out)


def write(path: Path, collection: Collection, found: list[PipelineTime], *, up: str = "") -> None:
    """Write the page by rename; as `update`."""
    if not is_ours(path):
        raise NotOurs(f"{path} was not written by spack-farm: it stays as it is; move it, or name another file")
    write_whole(path, index_page.render(collection, found, up=up).encode("utf-8", "backslashreplace"))


def is_ours(path: Path) -> bool:
    """Return whether a page may be written there: there is none, or one of ours."""
    try:
        with path.open("rb") as file:
            return _OURS in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait for one's turn. Where a folder takes no lock, as on NFS, and after a long wait, go on without one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + LONGEST_WAIT_SECONDS
        while not _locked(descriptor) and time.monotonic() < until:
            time.sleep(_STEP_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Take the lock; return whether there is nothing more to wait for."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EAGAIN, errno.EACCES}
    return True
