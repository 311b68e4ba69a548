"""A TCP relay that cuts every connection on SIGUSR1: `cutter.py LISTEN_PORT TARGET_PORT`, both on 127.0.0.1.

Prints `ready` once it listens. It does not look at what it relays, so TLS and WebSockets pass unchanged.
"""

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
from types import FrameType

_RESET = struct.pack("ii", 1, 0)  # linger for no time: the peer sees a reset, not an orderly end
_open: set[socket.socket] = set()


def relay(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until either side ends."""
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        _open.discard(one)


def cut(number: int, frame: FrameType | None) -> None:
    """Reset every connection; print how many there were."""
    del number, frame
    os.write(1, b"cut %d\n" % (len(_open) // 2))
    for one in list(_open):
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.shutdown(socket.SHUT_RDWR)


def main(listen_port: int, target_port: int) -> None:
    """Relay until killed."""
    signal.signal(signal.SIGUSR1, cut)
    with socket.create_server(("127.0.0.1", listen_port)) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            near, _ = server.accept()
            try:
                far = socket.create_connection(("127.0.0.1", target_port))
            except OSError:
                near.close()
                continue
            _open.update((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=relay, args=pair, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
