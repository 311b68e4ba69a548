"""How the run of a package can end, and the exit code of each case.

The table is the agent's promise to job scripts and to the driver. Knows no Spack and no log text. Pure.
"""

import enum


class Outcome(enum.StrEnum):
    """How the run of one package ended; `telemetry.json` has the values."""

    BUILT = "built"
    ALREADY_THERE = "already_there"
    BUILD_FAILED = "build_failed"
    BAD_REQUEST = "bad_request"
    SPACK_UNUSABLE = "spack_unusable"
    FETCH_FAILED = "fetch_failed"
    DISK_FULL = "disk_full"
    DEPENDENCY_FAILED = "dependency_failed"
    PUBLISH_FAILED = "publish_failed"
    TIMED_OUT = "timed_out"
    MEMORY_KILLED = "memory_killed"
    INTERRUPTED = "interrupted"


# 1 and 100 are Spack's own codes, 124 is timeout(1)'s, 137 and 128 + n are the shell's.
EXIT_CODES: dict[Outcome, int] = {
    Outcome.BUILT: 0,
    Outcome.ALREADY_THERE: 0,
    Outcome.BUILD_FAILED: 1,
    Outcome.BAD_REQUEST: 2,
    Outcome.SPACK_UNUSABLE: 3,
    Outcome.FETCH_FAILED: 4,
    Outcome.DISK_FULL: 5,
    Outcome.DEPENDENCY_FAILED: 6,
    Outcome.PUBLISH_FAILED: 100,
    Outcome.TIMED_OUT: 124,
    Outcome.MEMORY_KILLED: 137,
}
# `INTERRUPTED` has no row: its code is 128 + the signal's number.
BUG = 70
"""Exit code of a fault of the agent itself (EX_SOFTWARE of sysexits.h); no package has this outcome."""

# From mild to severe: the most severe outcome of several packages decides. A failure that a bigger machine or a second try
# may cure is more severe than a broken package, so that it is never hidden behind one.
_SEVERITY = (
    Outcome.ALREADY_THERE,
    Outcome.BUILT,
    Outcome.DEPENDENCY_FAILED,
    Outcome.BUILD_FAILED,
    Outcome.PUBLISH_FAILED,
    Outcome.FETCH_FAILED,
    Outcome.TIMED_OUT,
    Outcome.DISK_FULL,
    Outcome.MEMORY_KILLED,
    Outcome.SPACK_UNUSABLE,
    Outcome.BAD_REQUEST,
    Outcome.INTERRUPTED,
)


def exit_code(outcome: Outcome, *, signal_number: int = 0) -> int:
    """Return the exit code of an outcome; `signal_number` is read for `INTERRUPTED` only."""
    if outcome is Outcome.INTERRUPTED:
        return 128 + signal_number
    return EXIT_CODES[outcome]


def worst(outcomes: list[Outcome]) -> Outcome:
    """Return the most severe of the outcomes; `ALREADY_THERE` if there are none."""
    return max(outcomes, key=_SEVERITY.index, default=Outcome.ALREADY_THERE)


def combined(*, roots: list[Outcome], dependencies: list[Outcome]) -> Outcome:
    """Return the outcome of a whole call.

    A dependency that merely failed to build counts through the roots that need it (`DEPENDENCY_FAILED`: not their fault).
    What a bigger machine or a second try may cure counts by itself.
    """
    return worst([*roots, *(outcome for outcome in dependencies if outcome is not Outcome.BUILD_FAILED)])
