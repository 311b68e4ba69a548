"""Another network namespace: servers of the tests that the cluster's pods and programs reach.

Source: setns(2), network_namespaces(7): a socket stays in the namespace in which it was made, a child begins in that of the
thread that made it.
"""

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_Result = TypeVar("_Result")


def inside(process: int, act: Callable[[], _Result]) -> _Result:
    """Return what a function returns that runs in the network namespace of a process. Raises OSError, and what it raises."""
    with ThreadPoolExecutor(1) as pool:  # only the thread that acts changes its namespace
        return pool.submit(_entered, Path(f"/proc/{process}/ns/net"), act).result()


def _entered(namespace: Path, act: Callable[[], _Result]) -> _Result:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns into {namespace}")
    finally:
        os.close(descriptor)
    return act()


def listener_inside(process: int, *, address: str) -> socket.socket:
    """Return a socket bound to a free port of an address in the network namespace of a process. Raises OSError."""
    return inside(process, lambda: _bound(address))


def _bound(address: str) -> socket.socket:
    made = socket.socket()
    made.bind((address, 0))
    return made
