import io
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctest_xml.model import LogEvent
from ctest_xml.places import Tree
from ctest_xml.rules import SPACK
from ctest_xml.scan import Limits, is_memory_kill, scan

ERROR = b"a.c:3:2: error: bad\n"


def kinds(*lines: str) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in scan(["\n".join(lines).encode() + b"\n"])]


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[01m\x1b[Ka.c:3:2:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kbad",
        "\x1b]8;;https://gcc.gnu.org\x1b\\a.c:3: error: bad\x1b]8;;\x1b\\",
        "==> Error: ProcessError: Command exited with status 2:",
        "Killed",
        "/bin/sh: line 1: 4711 Killed                  cc1plus x.cc",
        "c++: fatal error: Killed signal terminated program cc1plus",
        "virtual memory exhausted: Cannot allocate memory",
        "make[2]: *** [Makefile:10: all] Error 2",
        "make: *** [Makefile:10: all] Killed",
        "FAILED: CMakeFiles/x.dir/a.o",
        "ninja: build stopped: subcommand failed.",
        "/usr/bin/ld: a.o: undefined reference to `f'",
        "collect2: error: ld returned 1 exit status",
        "ld.lld: error: undefined symbol: f",
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'numpy'",
        "error: command '/usr/bin/gcc' failed with exit code 1",
        "CMake Error at CMakeLists.txt:3 (find_package):",
        "-- Configuring incomplete, errors occurred!",
        "configure: error: no acceptable C compiler found in $PATH",
        "error[E0425]: cannot find value `x` in this scope",
        "Error: Symbol 'x' at (1) has no IMPLICIT type",
        "nvcc fatal   : Unsupported gpu architecture 'compute_20'",
        'meson.build:3:0: ERROR: Dependency "glib" not found',
        "cp: error writing 'x': No space left on device",
        "/bin/sh: 1: flex: not found",
    ],
)
def test_the_rules_of_spack_find_what_ctest_misses(line: str) -> None:
    assert kinds("before", line, "after") == [("error", line)]


@pytest.mark.parametrize(
    "line",
    [
        "a.c:3:2: note: declared here",
        "12:34:56: something",
        "http://host:8080: down",
        "a.c:5:1: remark: vectorized",
        "make: *** Waiting for unfinished jobs....",
        "make[1]: [Makefile:867: install] Error 1 (ignored)",
        "checking whether errors matter... no",
        "-- Installing: /opt/include/error.h",
        "0 errors, 0 warnings",
        "gcc -Werror -Wall -c error.c -o error.o",
    ],
)
def test_the_rules_of_spack_leave_alone_what_is_no_event(line: str) -> None:
    assert kinds(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "a.c:3:2: warning: unused",
        "warning: unused import: `x`",
        "configure: WARNING: unrecognized options",
        "Makefile:12: warning: overriding recipe",
        "setup.py:3: SetuptoolsDeprecationWarning: old",
        "CMake Deprecation Warning at CMakeLists.txt:1:",
    ],
)
def test_the_rules_of_spack_find_warnings(line: str) -> None:
    assert kinds(line) == [("warning", line)]


def test_a_memory_kill_is_known_as_one() -> None:
    events = list(scan([b"g++: fatal error: Killed signal terminated program cc1plus\na.c:1: error: x\n"]))
    assert [is_memory_kill(event) for event in events] == [True, False]


def test_a_colored_line_names_its_place_and_keeps_its_colors() -> None:
    (event,) = scan([b"\x1b[01m\x1b[Ksrc/a.c:3:2:\x1b[m\x1b[K \x1b[01;35m\x1b[Kwarning: \x1b[m\x1b[Kx\n"])
    assert (event.file, event.file_line) == ("src/a.c", 3)
    assert event.text.startswith("\x1b[01m")


def test_a_line_is_in_one_context_only() -> None:
    before, between = [f"b{n}" for n in range(15)], [f"m{n}" for n in range(12)]
    log = "\n".join([*before, "x.c:1: error: 1", *between, "x.c:2: error: 2", "x.c:3: error: 3", "end"]) + "\n"
    first, second, third = scan([log.encode()])
    assert first.pre_context.split() == before[-10:]
    assert first.post_context == "\n".join(between[:10])
    assert second.pre_context.split() == between[10:]
    assert (second.post_context, third.pre_context, third.post_context) == ("", "", "end\n")


def test_the_last_line_without_an_end_counts_for_spack_and_not_for_ctest() -> None:
    assert len(list(scan([ERROR.rstrip()], rules="spack"))) == 1
    assert not list(scan([ERROR.rstrip()], rules="ctest"))


def test_beyond_its_limit_an_error_is_context() -> None:
    events = list(scan([ERROR * 3 + b"x.c:1: warning: w\n"], rules="ctest", limits=Limits(errors=1, warnings=5)))
    assert [event.kind for event in events] == ["error", "warning"]
    assert events[0].post_context.startswith("a.c:3:2: error: bad\n" * 2)
    assert "maximum number of reported warnings or errors" in events[0].post_context


def test_a_gigabyte_without_a_newline_is_one_short_line() -> None:
    megabyte = b"x" * (1 << 20)
    (event,) = scan(itertools.chain([b"a.c:1: error: "], itertools.repeat(megabyte, 1024), [b"\nb\n"]))
    assert len(event.text) < SPACK.line_bytes + 100
    assert event.text.endswith(f"[... {14 + (1 << 30) - SPACK.line_bytes} bytes of this line left out ...]")
    assert event.post_context == "b\n"


def test_paths_are_shortened_as_ctest_does() -> None:
    tree = Tree(source_directory="/build/sample/lab/project", build_directory="/build/sample/lab/bld")
    (event,) = scan([b"/build/sample/lab/project/src/a.c:3:1: error: x\n"], rules="ctest", tree=tree)
    assert (event.text, event.file) == ("/.../project/src/a.c:3:1: error: x", "src/a.c")


def test_an_open_file_is_read_in_a_stream() -> None:
    assert [event.log_line for event in scan(io.BytesIO(b"ok\n" * 5 + ERROR))] == [6]


PIECES = st.sampled_from(
    [
        b"\n",
        b"\0",
        b"\r\n",
        b"\x1b[31m",
        b"\x1b[K",
        b"\xff\xfe",
        "«é»".encode(),
        b"a.c:3: error: x",
        b"make: *** [x] Error 1",
        b": warning: ",
        b"Makefile:",
        b"x" * 40,
        b"y" * 17_000,
        b"note: ",
        b"\t",
        b" ",
        b"Killed",
        b"/build/sample/lab/project/a.c(3): error",
    ]
)
LOGS = st.lists(PIECES | st.binary(max_size=12), max_size=60).map(b"".join)


def cut(log: bytes, places: list[int]) -> Iterator[bytes]:
    bounds = [0, *sorted(place % (len(log) + 1) for place in places), len(log)]
    return (log[start:end] for start, end in itertools.pairwise(bounds))


def both(log: bytes, *, use_re2: bool) -> list[LogEvent]:
    return [event for rules in ("ctest", "spack") for event in scan([log], rules=rules, use_re2=use_re2)]


@pytest.mark.long
@settings(deadline=None)
@given(LOGS, st.lists(st.integers(min_value=0), max_size=20), st.sampled_from(["ctest", "spack"]))
def test_chunks_never_change_events(log: bytes, places: list[int], rules: str) -> None:
    whole = list(scan([log], rules=rules))  # type: ignore[arg-type]
    assert list(scan(cut(log, places), rules=rules)) == whole  # type: ignore[arg-type]


@pytest.mark.long
@settings(deadline=None, max_examples=60)
@given(LOGS)
def test_without_re2_the_events_are_the_same(log: bytes) -> None:
    assert both(log, use_re2=False) == both(log, use_re2=True)


@settings(deadline=None)
@given(LOGS)
def test_every_event_is_a_line_of_the_log(log: bytes) -> None:
    lines = log.split(b"\n")
    for event in scan([log]):
        text = event.text.encode("utf-8", "surrogateescape")
        assert text.split(b" [... ")[0] in lines[event.log_line - 1]
