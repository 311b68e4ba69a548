"""Counts what threads and forked processes do: each `add` is one message through a pipe that only the owner reads.

Source: pipe(7): a write of up to PIPE_BUF bytes is atomic.
"""

import contextlib
import os
import struct
import threading

_MESSAGE = struct.Struct("=q")
_READ_BYTES = _MESSAGE.size * 4096


class Counter:
    """A number that only grows, between `open` and `close`.

    Where the pipe is full, since nothing has asked for the value for a while, what is added is lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0
        self._reader = self._writer = -1

    def open(self) -> None:
        """Count from now on."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def add(self, amount: int = 1) -> None:
        """Count; from any thread, and from any process that was forked from this one. Never raises."""
        with self._lock, contextlib.suppress(OSError):
            if self._writer >= 0:  # else the descriptor may be another file's by now
                os.write(self._writer, _MESSAGE.pack(amount))

    def close(self) -> None:
        """Count no more; the sum so far stays."""
        self._sum()
        with self._lock:
            if self._writer >= 0:
                os.close(self._reader)
                os.close(self._writer)
                self._reader = self._writer = -1

    @property
    def value(self) -> int:
        """The sum so far; for the process that made it."""
        return self._sum()

    def _sum(self) -> int:
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                while self._reader >= 0 and (read := os.read(self._reader, _READ_BYTES)):
                    self._value += sum(amount for (amount,) in _MESSAGE.iter_unpack(read))
            return self._value
