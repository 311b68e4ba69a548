r"""Lines that say what became of the lines before them: a test that passed, a recipe whose failure make ignores.

They are no events; `verdicts` decides by them. Patterns are what RE2 and Python have in common, each within one line.
Written from the tools' real output. Also the texts that tools quote: bodies of warnings, commit messages, patches.
"""

from typing import Literal

Mark = Literal[
    "run", "test", "passed", "failed", "counted", "all passed", "run passed", "run failed",
    "phase", "done", "gave up", "success", "ignored",
]  # fmt: skip

MARKS: tuple[tuple[Mark, tuple[str, ...]], ...] = (
    # A run of tests begins, whose end says whether all of them passed.
    (
        "run",
        (
            r"^running [0-9]+ tests?$",  # cargo
            r"^=+ test session starts ",  # pytest
            r"^\[=+\] Running [0-9]+ tests? from ",  # googletest
            r"^Test project /",  # ctest -V
            r"^TAP version 1[34]$",
            r"^ *T E S T S$",  # Maven
            r"^ *[0-9]+/[0-9]+ .* (?:RUNNING|OK|SKIP|EXPECTEDFAIL) {2,}",  # Meson
        ),
    ),
    # One test begins.
    ("test", (r"^ *=== RUN ", r"^\[ RUN      \] ", r"^\[INFO\] Running [A-Za-z]")),
    # The test that was running has passed, or failed as it should.
    (
        "passed",
        (
            r"^ *--- (?:PASS|SKIP): ",
            r"^\[       OK \] ",
            r"^test .* \.\.\. (?:ok|ignored)$",
            r"^(?:[^ \n]+::[^ \n\[]+(?:\[.*\])? )?(?:PASSED|XFAIL|SKIPPED)(?: +\[ *[0-9]+%\])?$",
            r"^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed +[0-9.]+ sec",
            r"^ok [0-9]",
            r"^\[(?:INFO|WARNING)\] Tests run: [0-9]+, Failures: 0, Errors: 0\b",
            r" \.\.\. (?:ok|skipped .*|expected failure)$",  # unittest -v
        ),
    ),
    # It has failed. These lines are errors as well.
    (
        "failed",
        (
            r"^ *--- FAIL: ",
            r"^\[  FAILED  \] ",
            r"^test .* \.\.\. FAILED$",
            r"^(?:[^ \n]+::[^ \n\[]+(?:\[.*\])? )?(?:FAILED|ERROR)(?: +\[ *[0-9]+%\])?$",
            r"^ *[0-9]+/[0-9]+ Test +#[0-9]+: .*\*\*\*",
            r"^not ok [0-9]",
            r"^\[ERROR\] Tests run: ",
            r" \.\.\. (?:FAIL|ERROR)$",
        ),
    ),
    # All tests of the run have passed.
    (
        "run passed",
        (
            r"^test result: ok\. ",
            r"^=+ (?:[0-9]+ (?:passed|skipped|xfailed|xpassed|deselected|warnings?),? )+in [0-9]",
            r"^PASS$",  # go; `ok  \tpackage` may follow another package's errors
            r"^100% tests passed, ",
            r"^All tests passed \(",  # Catch2
            r"^All tests successful\.$",  # prove
            r"^\[doctest\] Status: SUCCESS!",
            r"^\*\*\* No errors detected$",  # Boost.Test
            r"^OK \([0-9]+(?: tests?.*)?\)$",  # JUnit, PHPUnit, CppUnit
            r"^(?:#|\xe2\x84\xb9) fail 0$",  # node --test
            r"^Tests: +(?:[0-9]+ (?:passed|skipped|todo), )*[0-9]+ total$",  # jest
            r"^ +[0-9]+ passing \(",  # mocha
            r"^Timeout: +0 *$",  # Meson, last of its sums
        ),
    ),
    # unittest says in two lines how many tests there were, and whether they passed.
    ("counted", (r"^Ran [0-9]+ tests? in [0-9.]+s$",)),
    ("all passed", (r"^OK(?: \([a-z ]+=[0-9]+(?:, [a-z ]+=[0-9]+)*\))?$",)),
    # Some have not. Most of these lines are errors as well.
    (
        "run failed",
        (
            r"^test result: FAILED",
            r"^=+ .*[0-9]+ (?:failed|errors?)\b.* in [0-9]",
            r"^FAIL\t",
            r"tests? failed out of [0-9]",
            r"^FAILED \(",
            r"^(?:#|\xe2\x84\xb9) fail [1-9]",
            r"^ +[0-9]+ failing$",
            r"^(?:Fail|Unexpected Pass|Timeout): +[1-9]",
        ),
    ),
    # Spack begins a phase of a package, Maven a build; "done" says that it has succeeded.
    ("phase", (r"^==> (?:\[[^\]\n]*\] )?[A-Za-z0-9_-]+: Executing phase: ", r"^\[INFO\] Scanning for projects\.\.\.")),
    ("gave up", (r"^==> (?:\[[^\]\n]*\] )?Error: ", r"^\[INFO\] BUILD FAILURE")),
    # What was done until here has succeeded.
    (
        "done",
        (
            r"^==> (?:\[[^\]\n]*\] )?[A-Za-z0-9_-]+: Successfully installed ",
            r"^ *Successfully (?:installed|built) [A-Za-z0-9]",  # pip
            r"^-- Configuring done\b",
            r"^config\.status: creating ",
            r"^(?:\[INFO\] )?BUILD SUCCESS(?:FUL\b.*)?$",
            r"^ *Finished [`a-z]",  # cargo
            r"^> [^ \n]+@[0-9][^ \n]* [A-Za-z0-9:_-]+$",  # npm starts the next script only if the one before has succeeded
        ),
    ),
    # A step has succeeded that may have failed before in another way.
    (
        "success",
        (
            r" saved \[[0-9]+(?:/[0-9]+)?\]$",  # wget
            r"^(?:HEAD is now at|Switched to|Already on|Your branch is|Already up to date)\b",
            r"^remote: (?:Counting|Enumerating) objects: .*, done\.$",
            r"^config\.status: (?:linking|executing) ",
            r"^100 +[0-9.]+[kMG]? +100 +[0-9.]+[kMG]? ",  # curl
        ),
    ),
    # The failure right before does not count.
    ("ignored", (r"^[a-z]*make(?:\[[0-9]+\])?: .*\(ignored\)$", r"^\*\*\* .*\(ignored\)$", r"^\.\.\.ignoring$")),
)
"""What a line says -> how it reads, for the first kind that matches."""

QUOTES = (
    # A warning's body is indented; `CMake Warning (dev) at …` too.
    (r"^ *CMake (?:Deprecation )?Warning\b", r"  .*|"),
    # Meson -v: what a test printed stands below its result
    (r"^ *[0-9]+/[0-9]+ .* (?:OK|SKIP|EXPECTEDFAIL) {2,}", r"(?! *[0-9]+/[0-9]+ ).+"),
    # `git log` and `git show`
    (r"^commit [0-9a-f]{40}\b", r"    .*|(?:Author|AuthorDate|Commit|CommitDate|Date|Merge): .*|"),
    # A patch, as `diff -u` prints it
    (r"^@@ -[0-9,]+ \+[0-9,]+ @@", r"[-+ \\].*|@@ .*|(?:diff|index|new file|deleted file|similarity|rename) .*"),
)
"""How a quoted text begins, and how each of its further lines reads: no line of it is an event."""
