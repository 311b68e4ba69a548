"""What is read from the output of `spack install`, whatever the chunks."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.spack.install_log import Reader

GOOD = b"""\
==> Installing libhello-1.0-ojgzy7r [6/7]
==> Fetching file:///x
==> libhello: Executing phase: 'build'
==> [2026-11-25-03:43:36.785776] 'make' '-j2'
gcc -c hello.c
==> libhello: Executing phase: 'install'
==> libhello: Successfully installed libhello-1.0-ojgzy7r
"""


def read(*chunks: bytes) -> Reader:
    reader = Reader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader


def test_phases_are_found_with_their_places() -> None:
    reader = Reader()
    assert reader.feed(GOOD) == ["stage", "build", "install", ""]
    assert [(phase.name, phase.line) for phase in reader.phases] == [("stage", 1), ("build", 3), ("install", 6)]
    assert all(GOOD[phase.offset :].startswith(b"==> ") for phase in reader.phases)
    assert reader.lines == 7
    assert reader.bytes == len(GOOD)


@settings(max_examples=300)
@given(st.lists(st.integers(0, len(GOOD)), max_size=12))
def test_the_size_of_the_chunks_changes_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(GOOD)]
    chunked, whole = Reader(), Reader()
    started = [phase for start, end in itertools.pairwise(places) for phase in chunked.feed(GOOD[start:end])]
    assert started == whole.feed(GOOD)
    assert chunked.phases == whole.phases
    assert (chunked.lines, chunked.bytes, chunked.began) == (whole.lines, whole.bytes, whole.began)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken(chunks: list[bytes]) -> None:
    reader = read(*chunks)
    assert reader.bytes == sum(map(len, chunks))
    assert reader.lines == sum(chunk.count(b"\n") for chunk in chunks)


def test_a_marker_at_the_end_of_an_endless_line_is_no_marker() -> None:
    reader = read(*[b"x" * 60_000] * 50, b"==> Error: FetchError: no\n", b"==> libhello: Executing phase: 'build'\n")
    assert [phase.name for phase in reader.phases] == ["build"]
    assert reader.phases[0].offset == 3_000_000 + len(b"==> Error: FetchError: no\n")


def test_the_tail_that_is_kept_is_bounded() -> None:
    reader = Reader()
    for _ in range(1000):
        reader.feed(b"y" * 65536)
    assert len(reader._tail) < 8192  # noqa: SLF001  the bound is the promise


def test_an_error_of_the_build_begins_no_phase() -> None:
    reader = read(b"==> Error: ProcessError: Command exited with status 2:\n    'make'\n")
    assert not reader.began
    assert reader.phases == []


@pytest.mark.parametrize(
    "line",
    [
        b"cc1: fatal error: error writing to /tmp/ccX.s: No space left on device",
        b"as: a.o: Fatal error: can't write 24 bytes to section .text of a.o: 'No space left on device'",
        b"/usr/bin/ld: final link failed: No space left on device",
        b"collect2: fatal error: ld terminated with signal 7 [Bus error], core dumped",
        b"OSError: [Errno 122] Disk quota exceeded: '/home/x'",
        b"go: write /tmp/go-build1/b001/a.o: no space left on device",
        b"error: failed to write to `/x`: No space left on device (os error 28)",
        b"Error: ENOSPC: no space left on device, write",
        b"tar: a/b: Cannot write: No space left on device",
        b"java.io.IOException: No space left on device",
        b"/bin/sh: 1: echo: echo: I/O error",
        b"make: write error: stdout",
        b"tar: x.tar: Wrote only 2048 of 10240 bytes",
        b"curl: (23) Failure writing output to destination",
        b"LLVM ERROR: IO failure on output stream: No space left on device",
        b"sqlite3.OperationalError: database or disk is full",
        b"error: unable to write file objects/ab/cdef: Disk quota exceeded",
    ],
)
def test_a_failed_write_is_seen_whatever_the_program_calls_it_and_wherever_a_chunk_is_cut(line: bytes) -> None:
    for cut in range(len(line)):
        assert read(b"x\n" * 9, line[:cut], line[cut:] + b"\nmake: *** [all] Error 1\n").write_failed


@pytest.mark.parametrize("line", [b"checking for spaces... left", b"PASS: writes", b"quota: none", b"error: expected ';'"])
def test_other_lines_say_nothing_of_disks(line: bytes) -> None:
    assert not read(line).write_failed


def test_what_was_said_long_before_the_end_of_the_log_is_not_its_reason() -> None:
    said = b"No space left on device\n"
    assert read(said, b"y" * 1_000_000).no_space
    assert not read(said, b"y" * 1_100_000).no_space
    assert not read(b"echo: I/O error\n", b"y" * 20_000).write_failed


def test_of_a_million_phases_the_first_200_are_taken() -> None:
    reader = Reader()
    started = [
        phase
        for block in range(100)
        for phase in reader.feed(b"".join(b"==> x: Executing phase: 'p%d'\n" % (block * 100 + line) for line in range(100)))
    ]
    assert len(started) == len(reader.phases) == 200
    assert reader.lines == 10_000
    assert reader.feed(b"==> x: Successfully installed x-1\n") == [""], "the end is still noticed"
    assert reader.feed(b"==> x: Successfully installed x-1\n" * 1000) == [], "and once"


def test_a_name_that_no_phase_can_have_begins_none() -> None:
    names = (b"a" * 101, b"b c", b"../x", b"spack-start", "größe".encode(), b"")
    assert read(*(b"==> x: Executing phase: '%s'\n" % name for name in names)).phases == []


def test_the_end_of_no_phase_is_no_end() -> None:
    assert Reader().feed(b"==> x: Successfully installed x-1\n") == []


@pytest.mark.parametrize(
    "line",
    [
        b"10 %\r20 %\r==> libhello: Executing phase: 'build'\n",
        b"\r==> libhello: Executing phase: 'build'\r\n",
        b"==> libhello: Executing phase: 'build'\rmore\n",
        b"==> [2026-11-25-03:43:36.785776] libhello: Executing phase: 'build'\n",
        b"50 %\r==> [2026-11-25-03:43:36.785776] libhello: Executing phase: 'build'\r\r\n",
        b"==> [2026-11-25 03:43:36,785] libhello: Executing phase: 'build'\n",
        b"==> [2026-11-25T03:43:36] libhello: Executing phase: 'build'\n",
    ],
)
def test_a_phase_begins_behind_a_progress_bar_and_a_time(line: bytes) -> None:
    reader = read(*(bytes([byte]) for byte in b"first\n" + line))
    assert [(phase.name, phase.line) for phase in reader.phases] == [("build", 2)]
    assert (b"first\n" + line)[reader.phases[0].offset :].startswith(b"==> ")


def test_installing_with_a_time_begins_the_stage_phase() -> None:
    assert Reader().feed(b"==> [2026-11-25-03:43:36.785776] Installing x-1.0-abc [1/1]\r\n") == ["stage"]


@pytest.mark.parametrize(
    "line",
    [
        b"x ==> libhello: Executing phase: 'build'\n",
        b"x\x0b==> libhello: Executing phase: 'build'\n",
        b"==> [2026] libhello: Executing phase: 'build'\n",
        b"==> [note] libhello: Executing phase: 'build'\n",
        b"==>  libhello: Executing phase: 'build'\n",
        b"\r ==> libhello: Executing phase: 'build'\n",
    ],
)
def test_what_only_looks_like_a_phase_begins_none(line: bytes) -> None:
    assert read(line).phases == []
