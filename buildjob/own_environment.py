"""Hides this process's secrets from its descendants, which may read `/proc/PID/environ` of every process of their user.

Deleting a variable leaves its bytes where the kernel shows them, so they are overwritten there. What an ancestor was
started with stays readable: the README says so. Source: proc(5), `/proc/pid/environ`, fields 50 and 51 of `/proc/pid/stat`.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path


def forget(names: Iterable[str]) -> None:
    """Remove the variables from this process, and their values from what the kernel shows of it. Raises OSError."""
    hidden = {os.fsencode(name) for name in names}
    shown = Path("/proc/self/environ").read_bytes()
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # fields 50 and 51; the list begins with field 3
    at = 0
    for entry in shown.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name in hidden and value and start + at + len(entry) <= end:
            ctypes.memset(start + at + len(name) + 1, 0, len(value))
        at += len(entry) + 1
    for variable in names:
        os.environ.pop(variable, None)  # noqa: TID251  it is not read, it is emptied
