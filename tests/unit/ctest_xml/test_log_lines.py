import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctest_xml.log_lines import LogLines

GITLAB = b"2024-05-14T11:19:20.000000Z 00O"
STAMPS = (
    b"2024-05-14T11:19:20Z ",
    b"2024-05-14T11:19:20.123456789Z ",
    b"2024-05-14 11:19:20,123 ",
    b"2024-05-14T11:19:20+02:00 ",
    b"[2024-05-14T11:19:20.123Z] ",
    b"[11:19:20] ",
    b"11:19:20.123 ",
    b"Nov 30 11:19:20 ",
    b"Nov  3 11:19:20 builder make[123]: ",
    b"1701343160.123456 ",
    b"[   12.345678] ",
    b"#12 3.456 ",
    b"[pod/build-1/main] ",
    b"builder-1  | ",
    b"2024-05-14T11:19:20Z #12 0.1 ",
    GITLAB + b" ",
    GITLAB + b" 11:19:20 ",
)
NO_STAMPS = (
    b"12:34:56: error: x",
    b"2024-05-14T11:19:20Z: started",
    b"   12 | int x;",
    b"#define x 1",
    b"#12 [build 3/4] RUN make",
    b"[ 12%] Building x.c",
    b"[12/34] Building x.c",
    b"==> [2026-11-30-04:07:07.071287] 'make'",
    b"localhost:5432: refused",
)


def read(log: bytes, *, size: int = 1 << 20) -> tuple[bytes, list[int]]:
    lines = LogLines([log[start : start + size] for start in range(0, len(log), size)])
    text = b"".join(lines)
    return text, [lines.number(line) for line in range(1, text.count(b"\n") + 1)]


@pytest.mark.parametrize(
    ("log", "text", "numbers"),
    [
        (b"", b"", []),
        (b"\n", b"\n", [1]),
        (b"no end", b"no end", []),
        (b"a\r\nKilled\r\n", b"a\nKilled\n", [1, 2]),
        (b"a\r\r\nb\n", b"a\nb\n", [1, 2]),
        (b"1%\r2%\ra.c:1: error: x\nnext\n", b"1%\n2%\na.c:1: error: x\nnext\n", [1, 1, 1, 2]),
        (b"\ra\n\rb\n", b"a\nb\n", [1, 2]),
        (b"end\r", b"end", []),
        (b"a\0b\nc\n", b"a\nb\nc\n", [1, 1, 2]),
        (b"a" + bytes(10_000) + b"b\nc\n", b"a\nb\nc\n", [1, 1, 2]),
        (b"\x1b[31mred\x1b[0m\x1b[K\n", b"\x1b[31mred\x1b[0m\x1b[K\n", [1]),
        (b"1%\x1b[1G2%\x1b[1A\x1b[2Kerror: x\n", b"1%\n2%\n\x1b[2Kerror: x\n", [1, 1, 1]),
        (b"section_start:1560896352:build\r\x1b[0KBuild\n", b"section_start:1560896352:build\n\x1b[0KBuild\n", [1, 1]),
        (
            b"%b a.c:1: err\n%b+or: bad\n%b b\n" % (GITLAB, GITLAB, GITLAB),
            b"a.c:1: error: bad\nb\n",
            [1, 3],
        ),
        (b"%b 1%%\r%b+2%%\n%b b\n" % (GITLAB, GITLAB, GITLAB), b"1%\n2%\nb\n", [1, 1, 2]),
        (b"%b+first\n%b b\n" % (GITLAB, GITLAB), b"first\nb\n", [1, 2]),
        (b"#9 1.2 a\n#9 ERROR: process did not complete\n", b"a\nERROR: process did not complete\n", [1, 2]),
        (b"\xffb\xc3\n", b"\xffb\xc3\n", [1]),
    ],
)
def test_the_text_has_the_lines_that_a_person_sees(log: bytes, text: bytes, numbers: list[int]) -> None:
    assert read(log) == (text, numbers)


@pytest.mark.parametrize("stamp", STAMPS)
def test_stamps_are_cut_off(stamp: bytes) -> None:
    assert read(b"%ba.c:1: error: x\nplain\n%b  b\n" % (stamp, stamp))[0].split() == [*b"a.c:1: error: x plain b".split()]


@pytest.mark.parametrize("line", NO_STAMPS)
def test_what_only_looks_like_a_stamp_stays(line: bytes) -> None:
    assert read(line + b"\n")[0] == line + b"\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_other_encodings_become_utf_8(mark: bytes, encoding: str, size: int) -> None:
    text = "checking for a working compiler … no\r\nerror: größer\r\n"
    shown = text.replace("\r", "").encode()
    log = mark + (text.replace("…", "...") if not mark else text).encode(encoding)
    assert read(log, size=size)[0] == (shown if mark else shown.replace("…".encode(), b"..."))


PIECES = (
    *(b"a", b"word ", b"\n", b"\r", b"\0", b"\x1b", b"\x1b[", b"\x1b[1G", b"\x1b[31m", b"\x1b[2K", b"12:34:56 "),
    *(GITLAB + b" ", GITLAB + b"+", b"#12 3.4 ", b"x" * 300),
)
LOGS = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)


@settings(deadline=None)
@given(LOGS, st.sampled_from([1, 2, 5, 64, 300]))
def test_the_chunks_change_nothing(log: bytes, size: int) -> None:
    assert read(log, size=size) == read(log)


@settings(deadline=None)
@given(st.lists(st.sampled_from([piece for piece in PIECES if not piece.endswith(b"+")]), max_size=25).map(b"".join))
def test_each_line_stands_where_its_number_says(log: bytes) -> None:
    text, numbers = read(log + b"\n")
    lines = (log + b"\n").split(b"\n")
    assert all(line in lines[number - 1] for line, number in zip(text.split(b"\n"), numbers, strict=False))
    assert numbers == sorted(numbers)


def test_a_log_of_carriage_returns_takes_little_memory_and_keeps_its_count() -> None:
    lines = LogLines([b"x\r" * 200_000 + b"\n"] * 12)
    assert sum(text.count(b"\n") for text in lines) == 12 * 200_000
    assert lines.number(12 * 200_000) == 12
    assert lines.number(11 * 200_000) == 11
