"""The last Snapshots as files, for `autoscaler replay`: written by rename, the oldest go."""

import contextlib
import os
from pathlib import Path

from autoscaler.snapshot import Snapshot, to_json

_SUFFIX = ".snapshot.json"


class Recorder:
    """A folder with the last Snapshots."""

    def __init__(self, folder: Path, *, count: int) -> None:
        self._folder, self._count = folder, count

    def keep(self, snapshot: Snapshot) -> None:
        """Write a Snapshot and remove the oldest beyond the count. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{int(snapshot.taken_at * 1000):015d}{_SUFFIX}"
        temporary = path.with_suffix(f".{os.getpid()}.part")
        temporary.write_bytes(to_json(snapshot))
        temporary.rename(path)
        for old in sorted(self._folder.glob(f"*{_SUFFIX}"))[: -self._count]:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()
