"""What follows an error may say that it was none. The lines are what the tools print (go 1.26, cargo 1.95, pytest 9, …)."""

import pytest

from ctest_xml.scan import scan
from ctest_xml.verdicts import MARK_LINES, MOST_HELD

FAILURE = "make: *** [Makefile:2: all] Error 1"
LATER = [f"line {number}" for number in range(40)]


def found(*lines: str, use_re2: bool = True) -> list[tuple[str, int]]:
    events = scan(["\n".join(lines).encode() + b"\n"], use_re2=use_re2)
    return [(event.kind[0].upper(), event.log_line) for event in events]


GO = "=== RUN   TestA|error: wanted|fatal: y|--- PASS: TestA (0.00s)|PASS|ok  \tx\t0.01s"
CARGO = "running 2 tests|error: wanted|test a ... ok|thread 'b' panicked at src/lib.rs:3:9:|test b - should panic ... ok"
PYTEST = "===== test session starts =====|t.py::test_e[FAILED] error: x|fatal: y|PASSED"
CTEST = "Test project /b|test 1|1: error: x|1: FAILED|1/2 Test #1: t_error ...   Passed    0.00 sec"
GTEST = "[==========] Running 1 test from 1 test suite.|[ RUN      ] E.H|x.cc:3: fatal: y|[       OK ] E.H (0 ms)"
UNITTEST = "error: x|Traceback (most recent call last):|ValueError: x|.|------|Ran 1 test in 0.001s||OK"
MAVEN = "[INFO]  T E S T S|[INFO] Running E|ERROR: x|[INFO] Tests run: 1, Failures: 0, Errors: 0, Skipped: 0 - in E"
MESON = "1/2 t OK              0.01s|stderr:|error: said|Ok:                 1   |Timeout:            0   "

DROPPED = {
    "go test -v": GO,
    "go test": "error: printed|PASS|ok  \tx\t0.01s",
    "cargo test -- --nocapture": f"{CARGO}||test result: ok. 2 passed; 0 failed",
    "pytest -s": f"{PYTEST}|===== 1 passed in 0.02s =====",
    "pytest -rA": "=== test session starts ===|__ test_e[FAILED] __|error: FAILED|== 4 passed, 1 xfailed in 0.02s ==",
    "ctest -V": CTEST,
    "googletest": GTEST,
    "unittest": UNITTEST,
    "prove": "fatal: no|t/e.t .. ok|All tests successful.|Result: PASS",
    "node --test": "TAP version 13|Error: told|ok 1 - error: is thrown|# fail 0",
    "Catch2": "x.cpp:3: FAILED:|All tests passed (3 assertions in 1 test case)",
    "mocha": "    Error: told|  3 passing (10ms)",
    "Maven": MAVEN,
    "Meson": MESON,
}


@pytest.mark.parametrize("log", DROPPED.values(), ids=DROPPED)
def test_what_a_passing_test_prints_is_nothing(log: str) -> None:
    assert [line for line in found(*log.split("|"), *LATER) if line[0] == "E"] == []


FAILING = {
    "Meson -v, below a test that passed": ("1/2 t OK   0.01s|---|error: x||2/2 u FAIL   0.04s|error: y|Fail:     1", 5),
    "go test -v": ("=== RUN   TestA|error: x|--- FAIL: TestA (0.00s)|FAIL|FAIL\tx\t0.01s", 2),
    "go, another test passed": (f"{GO}|=== RUN   TestB|error: x|--- FAIL: TestB (0.00s)|FAIL", 8),
    "go, another package does not build": (
        "# bad|bad/x.go:3:5: undefined: foo|=== RUN   TestA|--- PASS: TestA (0s)|PASS",
        2,
    ),
    "cargo": (
        "running 2 tests|test a ... ok|thread 'b' panicked at src/lib.rs:3:9:|test b ... FAILED|test result: FAILED.",
        3,
    ),
    "pytest -s": (f"{PYTEST}|t.py::test_f|fatal: y|FAILED|=== 1 failed, 1 passed in 0.1s ===", 6),
    "ctest -V": (
        f"{CTEST}|2: error: y|2/2 Test #2: u ...***Failed    0.00 sec|50% tests passed, 1 tests failed out of 2",
        6,
    ),
    "ctest -V -j": ("Test project /b|1: error: x|2: error: y|1/2 Test #1: t ...   Passed    0.00 sec", 3),
    "googletest": (f"{GTEST}|[ RUN      ] E.B|b.cc:3: Failure|[  FAILED  ] E.B (0 ms)", 6),
    "unittest": ("error: x|Ran 1 test in 0.001s||FAILED (failures=1)", 1),
    "a test that never ends": ("=== RUN   TestA|error: x", 2),
    "OK of something else": ("error: x|OK", 1),
    "a build that failed before its tests": (
        f"a.c:1:1: error: x|{FAILURE}|All tests passed (1 assertion in 1 test case)",
        1,
    ),
}


@pytest.mark.parametrize(("log", "first"), FAILING.values(), ids=FAILING)
def test_what_a_failing_test_prints_is_an_error(log: str, first: int) -> None:
    errors = [line for kind, line in found(*log.split("|"), *LATER) if kind == "E"]
    assert errors[0] == first


EXCUSED = {
    "make ignores it": "a.c:1:1: error: x|make: [Makefile:2: all] Error 1 (ignored)",
    "make ignores it in a folder": "sh: 1: tool: not found|make[1]: [Makefile:2: all] Error 127 (ignored)",
    "BSD make ignores it": "a.c:1:1: error: x|*** Error code 1 (ignored)",
    "CMake goes on": "error: optional probe failed|-- Configuring done",
    "configure has succeeded": "fatal: x|config.status: creating Makefile",
    "Spack has installed it": f"==> x: Executing phase: 'build'|error: x|{FAILURE}|==> x: Successfully installed x-1-abc",
    "pip has installed it": "error: failed wheel|Successfully installed x-1",
    "Maven": "[INFO] Scanning for projects...|ERROR: x|[INFO] BUILD SUCCESS",
    "cargo": "error: from a build script|    Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.23s",
    "npm starts the next script": "error: told|> x@1.0.0 test",
    "wget has another address": "2026-11-30 03:41:39 ERROR 404: Not Found.|2026-11-30 03:41:40 (1 MB/s) - 'f' saved [6/6]",
    "git has another name": "error: pathspec 'x' did not match any file(s) known to git|Switched to a new branch 'y'",
}


@pytest.mark.parametrize("log", EXCUSED.values(), ids=EXCUSED)
@pytest.mark.parametrize("use_re2", [True, False])
def test_what_did_no_harm_is_a_warning(log: str, *, use_re2: bool) -> None:
    kinds = [kind for kind, _ in found(*log.split("|"), use_re2=use_re2)]
    assert set(kinds) == {"W"}


NOT_EXCUSED = {
    "it failed before": f"a.c:1:1: error: x|{FAILURE}|make: [Makefile:9: clean] Error 1 (ignored)",
    "another package": "==> x: Executing phase: 'b'|error: x|==> y: Executing phase: 'b'|==> y: Successfully installed y-1",
    "Spack gave up": "==> x: Executing phase: 'b'|error: x|==> Error: ProcessError: x|==> x: Successfully installed x-1-a",
    "too long ago": f"error: x|{'|'.join(LATER[: MARK_LINES + 1])}|make: [Makefile:9: clean] Error 1 (ignored)",
}


@pytest.mark.parametrize("log", NOT_EXCUSED.values(), ids=NOT_EXCUSED)
def test_what_did_harm_stays_an_error(log: str) -> None:
    assert found(*log.split("|"))[0][0] == "E"


CURL = "curl: (6) Could not resolve host: x.invalid"
WGET = "wget: unable to resolve host address 'x.invalid'"


def test_an_attempt_is_an_error_if_nothing_else_was_tried() -> None:
    assert found(CURL) == [("E", 1)]
    assert found(CURL, "tar: x.tgz: Cannot open: No such file or directory", FAILURE) == [("E", 1), ("E", 2), ("E", 3)]
    assert found(WGET, CURL, FAILURE) == [("E", 1), ("E", 2), ("E", 3)]
    assert found(CURL, "a.c:1:1: error: x", FAILURE) == [("E", 1), ("E", 2), ("E", 3)]


def test_an_attempt_is_a_warning_if_the_caller_goes_on() -> None:
    assert found(CURL, *LATER) == [("W", 1)]
    assert found(WGET, *LATER, FAILURE) == [("W", 1), ("E", 42)]


QUOTED = {
    "CMake's warning": "CMake Warning at CMakeLists.txt:3 (message):|  git:|  fatal: not a git repository||  error: x||",
    "CMake's deprecation": "CMake Deprecation Warning at CMakeLists.txt:5 (message):|  fatal: x||",
    "git log": f"commit {'9' * 40}|Author: a <a@b>|Date:   now||    error: handle it||    fatal: x|",
    "git show": f"commit {'9' * 40} (HEAD -> main)|Merge: 1 2|Author: a <a@b>||    error: handle it|",
    "diff -u": "--- o|+++ n|@@ -1,3 +1,3 @@| a|-error: old|+x.c:3: error: new| error: b",
    "git diff": "@@ -1 +1 @@|-a|+error: b|diff --git a/x b/x|index 1..2 100644|--- a/x|+++ b/x|@@ -1 +3 @@ f()|+ERROR: x",
}


@pytest.mark.parametrize("log", QUOTED.values(), ids=QUOTED)
def test_a_quoted_text_has_no_events(log: str) -> None:
    assert "E" not in [kind for kind, _ in found(*log.split("|"), "plain", *LATER)]
    assert ("E", len(log.split("|")) + 2) in found(*log.split("|"), "plain", "a.c:1:1: error: real", *LATER)


def test_a_quoted_text_goes_on_from_block_to_block() -> None:
    lines = b"".join(b"    line %d\n" % number for number in range(60_000))
    commit = b"commit " + b"9" * 40 + b"\n" + lines
    assert list(scan([commit, b"    error: x\n"])) == []
    assert len(list(scan([commit, b"end\n    error: x\n"]))) == 1


def test_no_more_errors_are_held_than_tests_have() -> None:
    """A log of errors is not kept in memory until its end, and is read in linear time."""
    lines = ["=== RUN   TestA", *["error: x"] * (MOST_HELD * 20), "--- PASS: TestA (0.00s)"]
    assert len(found(*lines)) > MOST_HELD * 18
    events = scan([line.encode() + b"\n" for line in lines])
    assert next(events).log_line == 2


def test_long_lines_are_not_held_either() -> None:
    line = b"error: " + b"x" * 15_000 + b"\n"
    events = scan([b"=== RUN   TestA\n", *[line] * 150, b"--- PASS: TestA (0.00s)\n"])
    assert sum(event.kind == "error" for event in events) > 50
