"""A socket in another network namespace: a server of the test's own process that the cluster's pods and programs reach.

Source: setns(2), network_namespaces(7): a socket stays in the namespace in which it was made.
"""

import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def listener_inside(process: int, *, address: str) -> socket.socket:
    """Return a socket bound to a free port of an address in the network namespace of a process. Raises OSError."""
    with ThreadPoolExecutor(1) as pool:  # only the thread that makes the socket changes its namespace
        return pool.submit(_bound, Path(f"/proc/{process}/ns/net"), address).result()


def _bound(namespace: Path, address: str) -> socket.socket:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns into {namespace}")
    finally:
        os.close(descriptor)
    made = socket.socket()
    made.bind((address, 0))
    return made
