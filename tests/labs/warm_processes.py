"""The driver's warm processes that this test process started: the folder of their sockets, and how they are ended."""

import atexit
import functools
import shutil
import tempfile
import time
from pathlib import Path

import psutil

_SECONDS = 30.0


@functools.cache
def runtime_folder() -> Path:
    """Return a folder for $XDG_RUNTIME_DIR; `end_all` removes it, at the latest when this process ends."""
    atexit.register(end_all)
    return Path(tempfile.mkdtemp(prefix="runtime-"))


def end_all() -> None:
    """End the warm processes of `runtime_folder`, if it was made."""
    if runtime_folder.cache_info().currsize:
        end_warm_processes(runtime_folder())
        runtime_folder.cache_clear()


def warm_processes(folder: Path) -> list[psutil.Process]:
    """Return the warm processes that serve below a folder, and their children."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        argv = process.info["cmdline"] or []
        if "-c" in argv and any(word.startswith(f"{folder}/spack-farm-executor-") for word in argv):
            found.append(process)
    return found


def end_warm_processes(folder: Path) -> None:
    """Remove the folder; return once its warm processes have noticed and ended; after 30 s they are killed."""
    shutil.rmtree(folder, ignore_errors=True)
    deadline = time.monotonic() + _SECONDS
    while processes := warm_processes(folder):
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.05)
