"""What counts as an error or a warning in a log: the rule sets `ctest` and `spack`, as patterns common to RE2 and Python.

Knows nothing of logs or engines. `ctest` is exactly CTest's. `spack` is its tables without the patterns that match what is
no error (`file:line: text`, anything that begins with `Error`), repaired (TAB, colors, `note:`), and the rules of
`tool_rules`.
"""

from dataclasses import dataclass

from ctest_xml import ctest_tables as ctest
from ctest_xml.kwsys_regex import translate
from ctest_xml.mark_rules import MARKS, QUOTES, Mark
from ctest_xml.tool_rules import NOT_UNLABELLED, TOOLS, UNLABELLED

SGR = r"\x1b\[[0-9;]*m"
"""What CTest removes before it matches: only colors, not the "erase line" that GCC prints after each."""
ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])"
"""All of ECMA-48: control sequences, strings for the terminal (GCC's links, Buildkite's times), charset selections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One rule set. A line is an error if it matches an error and no error exception; warnings likewise; errors win."""

    name: str
    errors: tuple[str, ...]
    error_exceptions: tuple[str, ...]
    warnings: tuple[str, ...]
    warning_exceptions: tuple[str, ...]
    doubtful: tuple[str, ...] = ()
    """Errors that are only warnings if no failure follows at once (`verdicts`)."""
    mild: tuple[str, ...] = ()
    """Doubtful as well, whatever else they match."""
    attempts: tuple[str, ...] = ()
    """Errors that are only warnings if neither a failure nor another error follows at once, whatever else they match."""
    certain: tuple[str, ...] = ()
    """What makes a doubtful line an error at once."""
    headings: tuple[str, ...] = ()
    """Errors that are dropped if another error follows soon, which they announce."""
    failures: tuple[str, ...] = ()
    """Errors that say that something before them has failed."""
    marks: tuple[tuple[Mark, tuple[str, ...]], ...] = ()
    """Lines that say what became of those before them."""
    quotes: tuple[tuple[str, str], ...] = ()
    """How a text begins whose further lines are no events, and how each of those reads."""
    unlabelled: str = ""
    """Lines that only a failure behind them makes errors; empty: none are."""
    not_unlabelled: str = ""
    shown_commands: bool = False
    """Whether a command that Spack shows before it runs it may have several lines, none of which counts."""
    escapes: str
    """What is removed from a line before it is matched."""
    last_line: bool
    """Whether a last line without an end counts; CTest ignores it."""
    plain_places: bool
    """Whether file and line are searched in the line without escapes; CTest searches the raw line."""
    as_shown: bool
    """Whether the text is read as a person sees it (`log_lines`), without Spack's excerpts; CTest reads the bytes."""
    line_bytes: int
    """Longer lines are cut before anything else, with a note at the cut."""

    @property
    def looked_at(self) -> tuple[str, ...]:
        """Patterns of all lines that mean something."""
        marks = (pattern for _, patterns in self.marks for pattern in patterns)
        return (*self.errors, *self.warnings, *marks, *(begin for begin, _ in self.quotes))


# `spack` has stricter versions of these: they match traces of autoconf, addresses, times, names of tests and of checks.
_NOT_FOR_SPACK = frozenset(
    {
        r"([^ :]+):([0-9]+): ([^ \t])",
        "([^:]+): (Error:|error|undefined reference|multiply defined)",
        "([^ :]+) : (error|fatal error|catastrophic error)",
        "^Fatal",
        "^Error: ",
        "^Error ",
        r"^\[ERROR\]",
        ": No such file or directory",
        ": Invalid argument",
        ":.*[Pp]ermission [Dd]enied",
        r":[ \t]cannot find",
        r":[ \t]can't find",
        ": syntax error ",
        r"make: \*\*\*.*Error",
        r"make\[.*\]: \*\*\*.*Error",
        "^collect2: ld returned 1 exit status",
        "final link failed:",
    }
)
# A note belongs to the warning or error before it, a remark is no complaint.
_NOT_WARNINGS_FOR_SPACK = frozenset(
    {
        "([^ :]+):([0-9]+): note:",
        r"\([0-9]*\): remark #[0-9]*",
        r'".*", line [0-9]+: remark\([0-9]*\):',
        "cc-[0-9]* CC: REMARK File = .*, Line = [0-9]*",
    }
)
# They hide make's own errors: `make: *** [Makefile:10: all] Error 2`.
_NOT_EXCEPTIONS_FOR_SPACK = frozenset({"makefile:", "Makefile:"})


def _of_tools(kind: str) -> tuple[str, ...]:
    return tuple(pattern for tool in TOOLS.values() for pattern in getattr(tool, kind))


def _spack(patterns: tuple[str, ...], without: frozenset[str] = frozenset()) -> tuple[str, ...]:
    return tuple(translate(pattern, tab=True) for pattern in patterns if pattern not in without)


CTEST = Rules(
    name="ctest",
    errors=tuple(map(translate, ctest.ERRORS)),
    error_exceptions=tuple(map(translate, ctest.ERROR_EXCEPTIONS)),
    warnings=tuple(map(translate, ctest.WARNINGS)),
    warning_exceptions=tuple(map(translate, ctest.WARNING_EXCEPTIONS)),
    escapes=SGR,
    last_line=False,
    plain_places=False,
    as_shown=False,
    line_bytes=1 << 18,
)

SPACK = Rules(
    name="spack",
    errors=(
        *(
            pattern
            for kind in ("errors", "doubtful", "mild", "attempts", "headings", "failures")
            for pattern in _of_tools(kind)
        ),
        *_spack(ctest.ERRORS, _NOT_FOR_SPACK),
    ),
    error_exceptions=(*_of_tools("not_errors"), *_spack(ctest.ERROR_EXCEPTIONS, _NOT_EXCEPTIONS_FOR_SPACK)),
    warnings=(*_of_tools("warnings"), *_spack(ctest.WARNINGS, _NOT_WARNINGS_FOR_SPACK)),
    warning_exceptions=(*_of_tools("not_warnings"), *_spack(ctest.WARNING_EXCEPTIONS, _NOT_EXCEPTIONS_FOR_SPACK)),
    doubtful=_of_tools("doubtful"),
    mild=_of_tools("mild"),
    attempts=_of_tools("attempts"),
    certain=_of_tools("errors"),
    headings=_of_tools("headings"),
    failures=_of_tools("failures"),
    marks=MARKS,
    quotes=QUOTES,
    unlabelled=UNLABELLED,
    not_unlabelled=NOT_UNLABELLED,
    shown_commands=True,
    escapes=ESCAPES,
    last_line=True,
    plain_places=True,
    as_shown=True,
    line_bytes=1 << 14,
)

RULES = {rules.name: rules for rules in (CTEST, SPACK)}
