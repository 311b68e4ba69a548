"""Waiting for what other processes do, with a limit."""

import time
from collections.abc import Callable
from pathlib import Path


def is_alive(process: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def wait_until(happens: Callable[[], object], *, seconds: float = 120) -> None:
    """Return once something has happened; fail after the time is up."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
