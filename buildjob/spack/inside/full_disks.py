"""Runs inside Spack's own Python: leaves the agent, which looks at the disks, the time to see one that is full.

Spack deletes what a failed build left at once, and with it what filled the disk. Imports nothing of Spack's.
"""

import os
import time

LITTLE_BYTES = 64 << 20
LITTLE_SHARE = 20
WAIT_SECONDS = 1.5
"""The agent looks once a second, and when the log says that a disk is full."""


def wait_if_full(*folders):
    """Wait for a moment if one of the folders' file systems has hardly any room."""
    for folder in folders:
        try:
            state = os.statvfs(nearest(folder))
        except OSError:
            continue
        size, free = state.f_blocks * state.f_frsize, state.f_bavail * state.f_frsize
        if (size and free < min(LITTLE_BYTES, size // LITTLE_SHARE)) or (state.f_files and not state.f_favail):
            time.sleep(WAIT_SECONDS)
            return


def nearest(folder):
    """The folder, or the one above it that exists."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder
