"""Disk use: as du(1) counts, in slices, and never in the way."""

import os
from pathlib import Path

from buildjob.measure.disk_use import DiskUse


def _used(*folders: Path) -> int | None:
    use = DiskUse(folders)
    while not use.step(0.01):
        pass
    return use.peak_bytes


def _tree(folder: Path) -> None:
    for number in range(200):
        below = folder / str(number % 7) / str(number % 3)
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number}.o").write_bytes(b"x" * number * 100)
    os.link(folder / "0" / "0" / "0.o", folder / "again.o")
    os.link(folder / "3" / "1" / "199.o", folder / "again-199.o")
    (folder / "loop").symlink_to(folder)


def test_a_folder_within_another_counts_once(tmp_path: Path) -> None:
    _tree(tmp_path)
    assert _used(tmp_path, tmp_path / "0") == _used(tmp_path)


def test_before_the_first_round_nothing_is_known(tmp_path: Path) -> None:
    assert DiskUse((tmp_path,)).peak_bytes is None


def test_a_missing_folder_takes_nothing(tmp_path: Path) -> None:
    assert _used(tmp_path / "none") == 0


def test_the_peak_stays_when_the_stage_is_deleted(tmp_path: Path) -> None:
    use = DiskUse((tmp_path,))
    file = tmp_path / "big"
    file.write_bytes(b"x" * 100_000)
    assert use.step(10.0)
    file.unlink()
    assert use.step(10.0)
    assert use.peak_bytes
    assert use.peak_bytes >= 100_000


def test_a_round_is_done_in_slices(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    clock = iter(range(10_000))
    use = DiskUse((tmp_path,), thread_time=lambda: float(next(clock)))
    steps = 1
    while not use.step(0.5):
        steps += 1
    assert steps == 5  # a pause after each 64 entries
