"""Little memory for a program, little room on a disk."""

import contextlib
import ctypes
import functools
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x20000
"""A mount namespace of its own, to unshare(2); `os.unshare` exists from Python 3.12 on."""


@contextlib.contextmanager
def limited_cgroup(limit_bytes: int) -> Iterator[list[str]]:
    """Make a cgroup v1 memory group with a limit; yield the argv that starts a program in it. Skips without the right to."""
    folder = Path("/sys/fs/cgroup/memory") / f"spack-farm-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"cannot make a memory cgroup (v1, root): {error}")
    try:
        yield ["/bin/sh", "-c", f'echo 0 > {folder}/cgroup.procs; exec "$@"', "sh"]
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.02)


@functools.cache
def _mount_for_this_process_alone() -> None:
    """Hide from other processes what is mounted from now on: their tests must not find a full disk."""
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int, options: str = "") -> Iterator[Path]:
    """Mount a small tmpfs, with further options of its own. Skips without the right to."""
    _mount_for_this_process_alone()
    folder.mkdir()
    every = f"size={megabytes}m" + (f",{options}" if options else "")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", every, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs (root): {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
