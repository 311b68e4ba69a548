"""The slow work beside the samples, in a thread of its own: checkpoints, and walks over folders for the use of disk.

An fsync or a folder of a million files may take seconds; the sampling thread must not wait for either.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from buildjob.measure.disk_use import DiskUse
from buildjob.measure.measurement import Observation

# Walks over folders: 5 ms of every 2.5 s are 0.2 % of a core. A round every 30 s at most, or with each phase if it is cheap.
_SLICE_SECONDS = 0.005
_SLICE_EVERY_SECONDS = 2.5
_ROUND_EVERY_SECONDS = 30.0
_CHEAP_ROUND_SECONDS = 0.1


class SlowWork:
    """Writes checkpoints and walks over folders between `start` and `stop`."""

    def __init__(
        self, checkpoint: Callable[[Observation], None] | None, folders: tuple[Path, ...], *, note: Callable[[str], None]
    ) -> None:
        """`note` receives a message for each fault: none of them ends the thread."""
        self._checkpoint = checkpoint
        self._disk = DiskUse(folders) if folders else None
        self._note = note
        self._woken = threading.Event()
        self._newest: Observation | None = None
        self._is_stopped = self._phase_has_begun = False
        self._thread = threading.Thread(target=self._run, name="slow-work", daemon=True)

    @property
    def wants_checkpoints(self) -> bool:
        """Whether observations are of any use here."""
        return self._checkpoint is not None

    @property
    def disk_peak_bytes(self) -> int | None:
        """The largest sum of a complete round; None if there is none yet."""
        return self._disk.peak_bytes if self._disk else None

    def start(self) -> None:
        """Start the thread if there is anything to do."""
        if self._checkpoint or self._disk:
            self._thread.start()

    def hand_over(self, observation: Observation | None, *, new_phase: bool) -> None:
        """Write this observation soon; one that still waits is replaced."""
        self._newest = observation or self._newest
        self._phase_has_begun = self._phase_has_begun or new_phase
        self._woken.set()

    def stop(self) -> None:
        """End the thread, after the checkpoint that it is writing. Idempotent."""
        self._is_stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        round_due = 0.0  # the first round at once
        while not self._is_stopped:
            # Cleared before the work: what is handed over during it is done in the next turn.
            self._woken.clear()
            self._write()
            now = time.monotonic()
            if self._disk and self._walk_folders(is_due=now >= round_due):
                round_due = now + _ROUND_EVERY_SECONDS
            self._woken.wait(_SLICE_EVERY_SECONDS if self._disk else None)
        if self._is_round_cheap:
            self._step(_CHEAP_ROUND_SECONDS)  # what the build has left

    def _walk_folders(self, *, is_due: bool) -> bool:
        """Walk over the next folders if a round is due or a phase has begun; return whether the round is complete."""
        # A phase is a good moment to look: each one leaves its files. But only a cheap round may be that often, and at once.
        at_once, self._phase_has_begun = self._phase_has_begun and self._is_round_cheap, False
        return (at_once or is_due) and self._step(_CHEAP_ROUND_SECONDS if at_once else _SLICE_SECONDS)

    @property
    def _is_round_cheap(self) -> bool:
        return self._disk is not None and self._disk.round_seconds < _CHEAP_ROUND_SECONDS

    def _write(self) -> None:
        observation, self._newest = self._newest, None
        if observation is None or self._checkpoint is None:
            return
        try:
            self._checkpoint(observation)
        except Exception as error:  # noqa: BLE001 - a build does not fail for the document of its course
            self._note(f"a checkpoint failed: {type(error).__name__}: {error}")

    def _step(self, seconds: float) -> bool:
        try:
            return bool(self._disk and self._disk.step(seconds))
        except Exception as error:  # noqa: BLE001 - as above
            self._note(f"the disk use is unknown: {type(error).__name__}: {error}")
            self._disk = None
            return False
