import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctest_xml.blocks import BLOCK_BYTES, blocks


def whole(chunks: Iterable[bytes], *, line_bytes: int = 100, last_line: bool = True) -> bytes:
    return b"".join(blocks(chunks, line_bytes=line_bytes, last_line=last_line))


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        (b"", b""),
        (b"\n", b"\n"),
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"one\r\ntwo\r\n", b"one\r\ntwo\r\n"),  # CR ends no line
        (b"one\0two\0", b"one\ntwo\n"),  # NUL does, as in CTest
        (b"no end", b"no end\n"),
    ],
)
def test_a_log_becomes_whole_lines(log: bytes, lines: bytes) -> None:
    assert whole([log]) == lines


def test_a_last_line_without_an_end_may_be_dropped() -> None:
    assert whole([b"one\ntwo"], last_line=False) == b"one\n"


@pytest.mark.parametrize("cut", range(20))
def test_a_long_line_keeps_its_head_and_says_how_much_is_missing(cut: int) -> None:
    log = b"a\n" + b"0123456789" + b"x" * 7 + b"\nb\n"
    expected = b"a\n0123456789 [... 7 bytes of this line left out ...]\nb\n"
    assert whole([log[:cut], log[cut:]], line_bytes=10) == expected


def test_a_last_long_line_says_so_too() -> None:
    assert whole([b"0123456789xyz"], line_bytes=10) == b"0123456789 [... 3 bytes of this line left out ...]\n"


def test_a_line_as_long_as_the_limit_is_kept() -> None:
    assert whole([b"0123456789\n0123456789\n0\n" * 3], line_bytes=10) == b"0123456789\n0123456789\n0\n" * 3


def test_small_chunks_come_as_one_block_and_large_ones_as_several() -> None:
    assert len(list(blocks([b"line\n"] * 1000, line_bytes=100, last_line=True))) == 1
    large = b"line\n" * (BLOCK_BYTES // 2)
    found = list(blocks([large], line_bytes=100, last_line=True))
    assert b"".join(found) == large
    assert max(map(len, found)) <= BLOCK_BYTES + 100


def test_a_line_much_longer_than_a_block_takes_no_memory() -> None:
    megabyte = b"x" * (1 << 20)
    (block,) = blocks(itertools.repeat(megabyte, 100), line_bytes=100, last_line=True)
    assert len(block) < 200


@given(st.lists(st.sampled_from([b"\n", b"\0", b"\r", b"a", b"bc", b"d" * 30]), max_size=60), st.integers(1, 40))
def test_chunks_never_change_the_lines(pieces: list[bytes], size: int) -> None:
    log = b"".join(pieces)
    chunks = [log[start : start + size] for start in range(0, len(log), size)]
    assert whole(chunks, line_bytes=20) == whole([log], line_bytes=20)
