"""Process figures out of `/proc`'s text, whatever a process calls itself."""

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.procfs import PAGE_BYTES, parse_io, parse_rollup, parse_stat, read_command_line, read_shares, read_stat


def _stat(name: bytes) -> bytes:
    fields = b"R 7 1 1 0 -1 4194304 1 2 3 4 11 12 13 14 20 0 1 0 5555 1000000 250 18446744073709551615 1 1"
    return b"42 (" + name + b") " + fields + b"\n"


@given(st.binary(max_size=15))
def test_a_process_may_be_called_anything(name: bytes) -> None:
    stat = parse_stat(_stat(name))
    assert (stat.pid, stat.parent, stat.started, stat.ticks, stat.tree_ticks) == (42, 7, 5555, 23, 50)
    assert stat.memory_bytes == 250 * PAGE_BYTES
    assert not stat.is_zombie


def test_a_cut_off_stat_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        parse_stat(b"42 (x) R 1 2")


def test_this_process_is_read_as_the_kernel_shows_it() -> None:
    stat = read_stat("self")
    assert stat is not None
    assert (stat.pid, stat.parent) == (os.getpid(), os.getppid())
    assert read_stat(2**22 + 1) is None
    assert read_command_line(os.getpid()) == sys.orig_argv


def test_bytes_read_and_written_are_those_of_storage() -> None:
    assert parse_io(b"rchar: 9\nwchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n") == (4096, 8192)
    assert parse_io(b"") == (0, 0)


def test_shares_come_from_the_rollup() -> None:
    text = b"0-1 ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss: 50 kB\nPss_Anon: 20 kB\nPss_File: 20 kB\nPss_Shmem: 10 kB\n"
    shares = parse_rollup(text)
    assert shares is not None
    assert (shares.total_bytes, shares.anonymous_bytes, shares.resident_bytes) == (50 * 1024, 30 * 1024, 100 * 1024)
    assert parse_rollup(b"") is None


def test_an_old_kernel_tells_less_of_the_shares() -> None:
    shares = parse_rollup(b"0-1 ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss: 50 kB\nAnonymous: 80 kB\n")
    assert shares is not None
    assert (shares.total_bytes, shares.anonymous_bytes) == (50 * 1024, 50 * 1024)


def test_our_own_share_is_not_more_than_our_resident_memory() -> None:
    shares, stat = read_shares(os.getpid()), read_stat("self")
    assert shares is not None
    assert stat is not None
    assert 0 < shares.anonymous_bytes <= shares.total_bytes
