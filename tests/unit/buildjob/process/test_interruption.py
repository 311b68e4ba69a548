"""How a block ends when a signal comes at a bad moment."""

import signal

import pytest

from buildjob.errors import Interrupted
from buildjob.process.interruption import interrupted_by_signals


def start_that_breaks() -> None:
    """Do as `threading.Thread.start` does when the signal comes while the thread begins."""
    try:
        signal.raise_signal(signal.SIGTERM)
    except Interrupted as stopped:
        raise KeyError("the thread has begun all the same") from stopped


def test_a_signal_that_breaks_a_library_is_still_the_signal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as raised, interrupted_by_signals():
        start_that_breaks()
    assert raised.value.signal_number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_error_without_a_signal_is_itself() -> None:
    with pytest.raises(KeyError), interrupted_by_signals():
        raise KeyError
