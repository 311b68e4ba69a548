"""Which file systems count as full, and what is said of them: by figures, by a refused write, by the watch of a build."""

import errno
import threading
import time
from pathlib import Path

import pytest

from buildjob.agent import disks
from buildjob.agent.disks import DiskWatch, Figures, Place, cannot_write, disk_full, find_full, full_disks_named, lacks
from buildjob.errors import DiskFull, FetchError, RequestError

MIB = 1 << 20


def figures(
    *, size: int = 1000 * MIB, free: int, inodes: int = 1000, free_inodes: int = 500, is_read_only: bool = False
) -> Figures:
    return Figures(size_bytes=size, free_bytes=free, inodes=inodes, free_inodes=free_inodes, is_read_only=is_read_only)


@pytest.mark.parametrize(
    ("seen", "lack"),
    [
        (figures(free=0), "space"),
        (figures(free=49 * MIB), "space"),
        (figures(free=51 * MIB), ""),
        (figures(size=60 * MIB, free=9 * MIB), ""),  # a small disk with room
        (figures(size=60 * MIB, free=2 * MIB), "space"),
        (figures(size=100_000 * MIB, free=63 * MIB), "space"),
        (figures(size=100_000 * MIB, free=65 * MIB), ""),  # 0.07 %, and yet room
        (figures(free=500 * MIB, free_inodes=0), "inodes"),
        (figures(free=500 * MIB, inodes=3, free_inodes=0), "inodes"),
        (figures(free=500 * MIB, inodes=3, free_inodes=1), ""),
        (figures(free=500 * MIB, inodes=0, free_inodes=0), ""),  # Btrfs does not count them
        (figures(size=0, free=0, inodes=0, free_inodes=0), ""),  # /proc
        (figures(free=0, free_inodes=0, is_read_only=True), ""),  # an image, full by nature
    ],
)  # fmt: skip
def test_a_file_system_is_full_by_its_figures(seen: Figures, lack: str) -> None:
    assert lacks(seen) == lack


def test_mounts_that_may_be_written_to() -> None:
    text = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:21 / /mnt/a\\040b\\134c rw,nosuid - tmpfs tmpfs rw\n"
        "24 22 7:0 / /snap/core ro,nodev - squashfs /dev/loop0 ro\n"
        "broken\n\n"
    )
    assert disks.writable_mounts(text) == ["/", "/mnt/a b\\c"]


def test_a_folder_with_room_is_not_full_whether_it_exists_or_not(tmp_path: Path) -> None:
    places = [Place("stage folder", tmp_path), Place("install tree", tmp_path / "a" / "b"), Place("odd", Path("/proc/1/x"))]
    assert find_full(places) is None
    assert list(tmp_path.iterdir()) == [], "the attempt to write leaves nothing"
    assert find_full([Place("long", tmp_path / ("n" * 300))]) is None


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EROFS, RequestError), (errno.EACCES, RequestError),
        (errno.ENAMETOOLONG, RequestError), (errno.ENOENT, RequestError), (errno.ELOOP, RequestError),
        (errno.EIO, RequestError),
    ],
)  # fmt: skip
def test_an_error_of_the_system_is_a_full_disk_or_a_bad_request(number: int, kind: type[Exception], tmp_path: Path) -> None:
    error = cannot_write(OSError(number, "said"), tmp_path / "out", option="--out")
    assert isinstance(error, kind)
    assert str(tmp_path / "out") in str(error)
    assert "--out" in str(error)


def test_the_message_of_a_full_disk_has_figures_and_what_to_do(tmp_path: Path) -> None:
    message = str(disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"), Place("run folder", tmp_path)))
    assert "quota is used up" in message
    assert "have the quota raised: --out names the folder" in message
    assert "are free" in message
    unknown = disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert str(unknown) == "a file of the agent: No space left on device"


def test_an_error_that_says_so_while_all_disks_have_room_stays_what_it_is() -> None:
    with pytest.raises(FetchError, match="No space left"), full_disks_named({}):
        raise FetchError("a dependency: [Errno 28] No space left on device")


def test_an_error_that_does_not_speak_of_disks_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _one_disk_is_full(tmp_path, monkeypatch)
    with pytest.raises(FetchError, match=r"^connection refused$"), full_disks_named({}):
        raise FetchError("connection refused")


def _one_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have one file system that may be written to, and let that be full."""
    monkeypatch.setattr(disks, "writable_places", lambda: [Place("file system", folder)])
    monkeypatch.setattr(disks, "read_figures", lambda _folder: figures(size=500 * MIB, free=0))


def test_an_error_that_names_no_file_is_of_the_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _one_disk_is_full(tmp_path, monkeypatch)
    assert f"is full, 0 B of 500 MiB are free (file system: {tmp_path})" in str(
        disk_full(OSError(errno.ENOSPC, "No space left"))
    )
    with pytest.raises(DiskFull, match=r"a dependency: .* is full, 0 B of 500 MiB are free"), full_disks_named({}):
        raise FetchError("a dependency: [Errno 28] No space left on device")


@pytest.mark.parametrize("variables", [{}, {"TMPDIR": "/nowhere"}])
def test_without_a_folder_for_temporary_files_there_is_a_message(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    disks.require_temporary_folder(variables)
    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    with pytest.raises(RequestError, match=r"no file can be written to .*/tmp, /var/tmp: give another folder by TMPDIR"):
        disks.require_temporary_folder(variables)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_watch_asks_at_most_once_a_second_however_much_a_log_says(tmp_path: Path) -> None:
    clock = Clock()
    watch = DiskWatch([Place("stage folder", tmp_path)], monotonic=clock)
    with watch:
        for _ in range(1000):
            watch.suspect()
    assert watch.suspected is None


@pytest.mark.parametrize(
    ("number", "lack"),
    [
        (errno.EDQUOT, "quota"),
        (errno.ENOSPC, "inodes"),  # since there is space
        (errno.EROFS, ""),
    ],
)
def test_a_write_that_is_refused_shows_what_no_figure_does(
    number: int, lack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: Path, _size_bytes: int) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(disks, "read_figures", lambda _folder: figures(free=500 * MIB))
    monkeypatch.setattr(disks, "reserve", refuse)
    found = find_full([Place("stage folder", tmp_path)])
    assert (found.lacks if found else "") == lack
    assert find_full([Place("stage folder", tmp_path)], tries_to_write=False) is None


def test_a_full_disk_under_all_temporary_folders_is_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    monkeypatch.setattr(disks, "read_figures", lambda _folder: figures(free=0))
    with pytest.raises(DiskFull, match="TMPDIR names the folder"):
        disks.require_temporary_folder({})


class Disk:
    """The figures of the only file system, and how often they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 500 * MIB
        self.looks = 0
        monkeypatch.setattr(disks, "read_figures", self.read)
        monkeypatch.setattr(disks, "_LOOK_SECONDS", 0.001)

    def read(self, _folder: Path) -> Figures:
        seen = figures(free=self.free)
        self.looks += 1
        return seen

    def wait_for_looks(self, number: int) -> None:
        """Wait until the figures were asked for so often again."""
        wanted = self.looks + number
        while self.looks < wanted:
            time.sleep(0.001)


def test_what_was_full_a_moment_ago_is_remembered_for_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, disk = Clock(), Disk(monkeypatch)
    with DiskWatch([Place("stage folder", tmp_path)], monotonic=clock) as watch:
        assert watch.find_full() is None
        disk.free = 0
        disk.wait_for_looks(3)
        disk.free = 500 * MIB
        disk.wait_for_looks(3)
        assert (found := watch.find_full())
        assert found.lacks == "space"
        clock.now += 11
        assert watch.find_full() is None


def test_any_disk_that_became_full_since_the_beginning_counts_if_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(disks, "_in_time", lambda look: look())
    monkeypatch.setattr(disks, "writable_places", lambda: [Place("file system", tmp_path)])
    with DiskWatch([]) as watch:
        while not disk.looks:
            time.sleep(0.001)
        disk.free = 0
        assert watch.find_full() is None
        while not (found := watch.find_full(anywhere=True)):  # until the watch has noted which had room
            time.sleep(0.001)
        assert found.folder == str(tmp_path)


def test_a_file_system_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "_LOOK_SECONDS", 0.001)
    ended = threading.Event()
    try:
        monkeypatch.setattr(disks, "find_full", lambda _places: ended.wait(60))
        assert disks.find_full_anywhere() is None
    finally:
        ended.set()
