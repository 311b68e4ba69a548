"""Which file systems are full: facts of the kernel, and the message of one that is. Knows no build.

A file system counts as full if less than 64 MiB and less than 5 % of it is free for this user, if hardly an inode is free,
or if not even a MiB can be written to it: that shows quotas, which no figure of the file system shows.
Source: statvfs(3), posix_fallocate(3), proc_pid_mountinfo(5).
"""

import contextlib
import errno
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from buildjob.errors import AgentError, DiskFull, FetchError, RequestError, SpackError
from buildjob.files import reserve
from buildjob.report.full_disk import advise_full_disk, describe_full_disk
from buildjob.spack.install_log import says_no_space
from buildjob.telemetry import FullDisk

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_LITTLE_BYTES = 64 << 20
_LITTLE_SHARE = 20
_LITTLE_INODES = 16
_TRIED_BYTES = 1 << 20
_LOOK_SECONDS = 1.0
_RECENT_SECONDS = 10.0
"""A program may have deleted what filled the disk before it says that the disk was full."""
_QUOTED_PATH = re.compile(r"'(/[^'\n]+)'")
_SPACKS_FOLDERS = ("TMPDIR", "SPACK_USER_CACHE_PATH", "SPACK_ROOT", "HOME")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Place(msgspec.Struct, frozen=True):
    """A folder that something is written to; it need not exist yet."""

    use: str
    """In the words of messages: `stage folder`."""
    folder: Path


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What statvfs(3) says of a file system."""

    size_bytes: int
    """0: it holds no files of ours, such as /proc."""
    free_bytes: int
    """For this user."""
    inodes: int
    """0: the file system does not count them."""
    free_inodes: int
    is_read_only: bool


def lacks(figures: Figures) -> str:
    """Return what a file system has too little of: `space` or `inodes`; empty if it has room, or takes no files at all."""
    if figures.is_read_only or not figures.size_bytes:
        return ""
    if figures.free_bytes < min(_LITTLE_BYTES, figures.size_bytes // _LITTLE_SHARE):
        return "space"
    few = max(min(_LITTLE_INODES, figures.inodes // _LITTLE_SHARE), 1)
    return "inodes" if figures.inodes and figures.free_inodes < few else ""


def read_figures(folder: Path) -> Figures:
    """Return the figures of the file system that a folder is on. Raises OSError."""
    state = os.statvfs(folder)
    return Figures(
        size_bytes=state.f_blocks * state.f_frsize,
        free_bytes=state.f_bavail * state.f_frsize,
        inodes=state.f_files,
        free_inodes=state.f_favail,
        is_read_only=bool(state.f_flag & os.ST_RDONLY),
    )


def find_full(places: Iterable[Place], *, tries_to_write: bool = True) -> FullDisk | None:
    """Return the first of the file systems that is full; None if all have room, or cannot be asked."""
    known: dict[int, tuple[Place, Path, Figures]] = {}
    for place in places:
        with contextlib.suppress(OSError):
            folder = existing_folder(place.folder)
            known.setdefault(folder.stat().st_dev, (place, folder, read_figures(folder)))
    for place, folder, figures in known.values():
        if lack := lacks(figures):
            return _full_disk(place, folder, figures, lack)
    for place, folder, figures in known.values() if tries_to_write else ():
        if figures.size_bytes and (error := _refused(folder)):
            return _full_disk(place, folder, figures, _lack_of(error, figures))
    return None


def writable_places() -> list[Place]:
    """Return every file system that may be written to, by its mount."""
    try:
        text = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return []
    return [Place("file system", Path(mount)) for mount in writable_mounts(text)]


def writable_mounts(mountinfo: str) -> list[str]:
    """Return where file systems are mounted that are not read-only, from the text of `/proc/self/mountinfo`."""
    found = []
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 5 and "rw" in fields[5].split(","):
            # spaces, tabs, line feeds and backslashes are written as octal numbers
            found.append(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4]))
    return found


def require_temporary_folder(variables: Mapping[str, str]) -> None:
    """Raise AgentError if no folder takes temporary files: DiskFull if one of them is full."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        named = [variables["TMPDIR"]] if variables.get("TMPDIR") else []
        folders = [*named, "/tmp", "/var/tmp"]  # noqa: S108  where Python looks
        if full := find_full([Place("temporary files", Path(folder)) for folder in folders]):
            raise FileSystemFull(full) from error
        raise RequestError(f"no file can be written to {', '.join(folders)}: give another folder by TMPDIR") from error


def cannot_write(error: OSError, folder: Path, *, option: str) -> AgentError:
    """Return the error to raise where a folder that an option names cannot be written to."""
    if error.errno in NO_ROOM:
        return disk_full(error, Place(option, folder))
    return RequestError(f"{option} {folder}: no folder can be made and written to there: {error.strerror or error}")


def disk_full(error: OSError, place: Place | None = None) -> DiskFull:
    """Return the error to raise where the kernel says that there is no room; by the error's file if no place is given."""
    if place is None and isinstance(error.filename, str):
        place = Place("agent", Path(error.filename).absolute())
    full = find_full([place]) if place else find_full_anywhere()
    if full is None and place:  # it has room now, or too little for this file: the figures say how much
        with contextlib.suppress(OSError):
            folder = existing_folder(place.folder)
            figures = read_figures(folder)
            full = _full_disk(place, folder, figures, _lack_of(error, figures))
    return (
        FileSystemFull(full) if full else DiskFull(f"{error.filename or 'a file of the agent'}: {error.strerror or error}")
    )


def message_of(full: FullDisk) -> str:
    """Return the message of a full file system: which one, its figures, and what to do."""
    return f"{describe_full_disk(full)}. {advise_full_disk(full)}"


class FileSystemFull(DiskFull):
    """A file system is full, and it is known which."""

    def __init__(self, full: FullDisk) -> None:
        super().__init__(message_of(full))
        self.full = full


@contextlib.contextmanager
def full_disks_named(variables: Mapping[str, str]) -> Iterator[None]:
    """Raise DiskFull instead of an error of Spack whose message says that a disk is full, if a file system is.

    Where several are, it is the one with a path that the message quotes, else one that Spack is known to write to.
    """
    try:
        yield
    except (FetchError, RequestError, SpackError) as error:
        if not says_no_space(str(error).encode()):
            raise
        quoted = [Place("file system", Path(path)) for path in _QUOTED_PATH.findall(str(error))]
        known = [Place("file system", Path(variables[name])) for name in _SPACKS_FOLDERS if variables.get(name)]
        full = find_full([*quoted, *known]) or find_full_anywhere()
        if full is None:
            raise
        raise DiskFull(f"{error}; {message_of(full)}") from error


class DiskWatch:
    """Watches the file systems that a build writes to while it is entered: once a second, and whenever it is asked."""

    def __init__(self, places: Sequence[Place], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._monotonic = monotonic
        self._seen: tuple[float, FullDisk] | None = None
        self._roomy: list[Place] = []
        """Every file system that had room at the beginning."""
        self._asked_at = float("-inf")
        self._answer: FullDisk | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_LOOK_SECONDS)  # not for longer: a file system that hangs must not hold the agent

    def suspect(self) -> None:
        """Note what is full now, for the log says so; asked again within a second it does nothing."""
        if self._monotonic() - self._asked_at >= _LOOK_SECONDS:
            self._answer = self.find_full(anywhere=True) or self._answer
            self._asked_at = self._monotonic()

    @property
    def suspected(self) -> FullDisk | None:
        """What was full when `suspect` was called, at any time; None if it never found anything."""
        return self._answer

    def find_full(self, *, anywhere: bool = False) -> FullDisk | None:
        """Return the file system that is full now, or was in the last seconds.

        With `anywhere` it may also be one that is not among the places and has become full since the beginning.
        """
        if full := find_full(self._places):
            return full
        seen = self._seen
        if seen and self._monotonic() - seen[0] < _RECENT_SECONDS:
            return seen[1]
        return _in_time(lambda: find_full(self._roomy, tries_to_write=False)) if anywhere else None

    def _run(self) -> None:
        self._roomy = [place for place in writable_places() if not find_full([place], tries_to_write=False)]
        while not self._ended.wait(_LOOK_SECONDS):
            if full := find_full(self._places, tries_to_write=False):
                self._seen = (self._monotonic(), full)


def find_full_anywhere() -> FullDisk | None:
    """Return the first file system of this machine that may be written to and is full."""
    return _in_time(lambda: find_full(writable_places()))


def _in_time(look: Callable[[], FullDisk | None]) -> FullDisk | None:
    """Return what `look` returns, or None if that takes long: an unused network file system may hang for ever."""
    found: list[FullDisk | None] = []
    thread = threading.Thread(target=lambda: found.append(look()), name="all disks", daemon=True)
    thread.start()
    thread.join(2 * _LOOK_SECONDS)
    return found[0] if found else None


def existing_folder(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists. Raises OSError for one that cannot be looked at."""
    for path in (folder, *folder.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if path.is_dir():
                return path
    return Path("/")


def _refused(folder: Path) -> OSError | None:
    """Return the error if there is no room for a MiB; None if there is, or if the folder takes no files anyway."""
    try:
        reserve(folder, _TRIED_BYTES).close()
    except OSError as error:
        return error if error.errno in NO_ROOM else None
    return None


def _lack_of(error: OSError, figures: Figures) -> str:
    """Return what there is too little of where a write was refused: ENOSPC is said of inodes, too."""
    if error.errno == errno.EDQUOT:
        return "quota"
    return "inodes" if figures.inodes and figures.free_bytes >= _LITTLE_BYTES // 8 else "space"


def _full_disk(place: Place, folder: Path, figures: Figures, lack: str) -> FullDisk:
    return FullDisk(
        use=place.use,
        folder=str(place.folder),
        mount=str(_mount_of(folder)),
        lacks=lack,
        size_bytes=figures.size_bytes,
        free_bytes=figures.free_bytes,
    )


def _mount_of(folder: Path) -> Path:
    """Return where the folder's file system is mounted, as far up as it has the same device."""
    top = folder.resolve()
    device = top.stat().st_dev
    while top != top.parent and top.parent.stat().st_dev == device:
        top = top.parent
    return top
