"""Turns a signal into an exception, so that what a block has made is cleaned up; knows nothing of what it does.

A build looks at signals by itself: see `child.StopRequest`.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator

from buildjob.errors import Interrupted

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise Interrupted when TERM, INT or HUP arrives, so that keys, agents and processes are cleaned up as at the end."""
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        for each in _STOPS:
            # the first signal is enough; only a second Ctrl-C ends the clean-up, too
            signal.signal(each, signal.SIG_DFL if each is signal.SIGINT else signal.SIG_IGN)
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # a signal that is ignored stays ignored: nohup
    before = {number: signal.signal(number, stop) for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        # what is raised in the midst of a library may come out as a fault of that library: of a thread's start, a KeyError
        if received:
            raise Interrupted(received[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
