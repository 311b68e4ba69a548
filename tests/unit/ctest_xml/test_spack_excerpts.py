from collections.abc import Callable
from pathlib import Path

import pytest

from ctest_xml.scan import scan
from ctest_xml.spack_excerpts import SpackExcerpts

HELLO_BROKEN = Path(__file__).resolve().parents[2] / "data/logs/spack-hello-broken.log"
OUTPUT = b"""\
a.c:3:5: error: unknown type name 'foo', which is a long line that an excerpt wraps
b.c:4:1: warning: unused variable 'x'
make: *** [Makefile:5: a.o] Error 1
==> Error: ProcessError: Command exited with status 2:
    'make' '-j2'
"""
EXCERPT = b"""
2 errors found in build log:
     1     cc -c a.c
  >> 2     a.c:3:5: error: unknown type name 'foo', which is a long
           line that an excerpt wraps

     ...

     14    b.c:4:1: warning: unused variable 'x'
  >> 15    make: *** [Makefile:5: a.o] Error 1

See build log for details:
  /stage/spack-build-out.txt
"""


def events(log: bytes, *, size: int = 1 << 20) -> list[tuple[str, int, str]]:
    chunks = [log[start : start + size] for start in range(0, len(log), size)]
    return [(event.kind, event.log_line, event.text) for event in scan(chunks)]


def test_the_excerpt_of_a_real_log_counts_nothing_again() -> None:
    found = events(HELLO_BROKEN.read_bytes())
    assert [line for kind, line, _ in found if kind == "error"] == [8, 18, 19]
    assert [line for kind, line, _ in found if kind == "warning"] == [11, 15]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_what_the_log_had_before_is_not_counted_again(size: int) -> None:
    assert events(OUTPUT + EXCERPT + b"c.c:1:1: error: later\n", size=size) == [
        *events(OUTPUT, size=size),
        ("error", 19, "c.c:1:1: error: later"),
    ]


@pytest.mark.parametrize(
    "decorate",
    [
        lambda log: log.replace(b"  >> 2     a", b"  \x1b[0;91m>> 2     a").replace(b"a long\n", b"a long\x1b[0m\n"),
        lambda log: log.replace(b"\n", b"\r\n"),
        lambda log: b"".join(b"2024-05-14T11:19:20.000000Z 00O " + line for line in log.splitlines(keepends=True)),
    ],
)
def test_colors_line_ends_and_stamps_change_nothing(decorate: Callable[[bytes], bytes]) -> None:
    found = [(kind, line) for kind, line, _ in events(decorate(OUTPUT + EXCERPT))]
    assert found == [(kind, line) for kind, line, _ in events(OUTPUT)]


def test_an_excerpt_is_all_that_a_log_without_output_has() -> None:
    head = b"==> Installing a [1/2]\n"
    found = events(head + EXCERPT)
    assert found == [
        ("error", 5, "a.c:3:5: error: unknown type name 'foo', which is a long"),
        ("warning", 10, "b.c:4:1: warning: unused variable 'x'"),
        ("error", 11, "make: *** [Makefile:5: a.o] Error 1"),
    ]
    first = next(scan([head + EXCERPT]))
    assert (first.file, first.file_line) == ("a.c", 3)


def test_the_excerpts_of_two_packages_are_both_read() -> None:
    other = EXCERPT.replace(b"a.c", b"z.c").replace(b"[Makefile:5: a.o]", b"[Makefile:7: z.o]")
    errors = [text for kind, _, text in events(EXCERPT + other) if kind == "error"]
    assert [text.split(":")[0] for text in errors] == ["a.c", "make", "z.c", "make"]


def test_a_build_that_prints_such_a_heading_hides_nothing() -> None:
    assert [line for _, line, _ in events(b"1 error found in build log:\n     a.c:3:5: error: bad\n")] == [2]
    assert [line for _, line, _ in events(b"1 error found in build log:\na.c:3:5: error: bad\n")] == [2]
    assert [line for _, line, _ in events(b"1 error found in build log:\n  >> 7     a.c:3:5: error: bad\n")] == [2]


def test_the_source_of_a_recipe_is_no_event() -> None:
    log = b"""\
==> Error: InstallError: no license

/repo/packages/x/package.py:14, in install:
         12    def install(self, spec, prefix):
  >>     14        raise InstallError("a.c:1:1: error: no license")

See build log for details:
"""
    assert [line for _, line, _ in events(log)] == [1]


def test_blocks_without_a_quotation_are_not_copied() -> None:
    block = b"cc -c a.c\n" * 10
    assert SpackExcerpts().without(block, first=0) is block
    assert SpackExcerpts().without(b"x.py:3 found in it\n", first=0) == b"x.py:3 found in it\n"
