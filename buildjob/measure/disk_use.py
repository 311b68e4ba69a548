"""How much disk some folders take up: a walk like du(1), in slices, so that it never costs much at once.

`statvfs` would cost nothing, but counts all files of the file system. A peak between two rounds is missed: the figure is a
lower bound, near the truth if a round ends with each phase.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_BLOCK_BYTES = 512  # st_blocks counts these, whatever the file system's blocks (stat(2))


class DiskUse:
    """The peak over the rounds that were completed; None before the first."""

    def __init__(self, folders: tuple[Path, ...], *, thread_time: Callable[[], float] = time.thread_time) -> None:
        self._folders = [folder for folder in folders if not set(folders) & set(folder.parents)]
        self._thread_time = thread_time
        self._round: Iterator[int] | None = None
        self._cost_seconds = 0.0
        self.peak_bytes: int | None = None
        self.round_seconds = 0.0
        """What the last complete round cost, in CPU time."""

    def step(self, seconds: float) -> bool:
        """Continue the round, or begin one, for about `seconds` of CPU time; return whether it is complete."""
        begun = self._thread_time()
        if self._round is None:
            self._round, self._cost_seconds = _walk(self._folders), 0.0
        for total in self._round:
            if total >= 0:
                self.peak_bytes = max(self.peak_bytes or 0, total)
                self.round_seconds = self._cost_seconds + self._thread_time() - begun
                self._round = None
                return True
            if self._thread_time() - begun > seconds:
                break
        self._cost_seconds += self._thread_time() - begun
        return False


def _walk(folders: list[Path]) -> Iterator[int]:
    """Yield −1 after every 64 entries, and the sum at the end. A file with several names counts once, a vanished one not."""
    total = entries = 0
    seen: set[tuple[int, int]] = set()
    waiting = [os.path.realpath(folder) for folder in folders]
    while waiting:
        try:
            listing = os.scandir(waiting.pop())
        except OSError:
            continue
        with listing:
            for entry in listing:
                entries += 1
                if entries % 64 == 0:
                    yield -1
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                elif status.st_nlink > 1:
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * _BLOCK_BYTES
    yield total
