"""What counts as an error or a warning in a log: the rule sets `ctest` and `spack`, as patterns common to RE2 and Python.

Knows nothing of logs or engines. `ctest` is exactly CTest's. `spack` begins with it, repairs it (TAB, colors, `note:`,
times and addresses that look like `file:line:`, make's own errors) and adds what package builds print and CTest misses.
"""

from dataclasses import dataclass

from ctest_xml import ctest_tables as ctest
from ctest_xml.kwsys_regex import translate

SGR = r"\x1b\[[0-9;]*m"
"""What CTest removes before it matches: only colors, not the "erase line" that GCC prints after each."""
ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-Z\\^-~])"
"""All of ECMA-48: control sequences, operating-system commands (GCC's links), charset selections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One rule set. A line is an error if it matches an error and no error exception; warnings likewise; errors win."""

    name: str
    errors: tuple[str, ...]
    error_exceptions: tuple[str, ...]
    warnings: tuple[str, ...]
    warning_exceptions: tuple[str, ...]
    escapes: str
    """What is removed from a line before it is matched."""
    last_line: bool
    """Whether a last line without an end counts; CTest ignores it."""
    plain_places: bool
    """Whether file and line are searched in the line without escapes; CTest searches the raw line."""
    line_bytes: int
    """Longer lines are cut before anything else, with a note at the cut."""


MEMORY_KILLS = (
    r"^Killed$",
    r"[0-9] Killed\b",
    r"\*\*\* .*\bKilled\b",
    r"[Kk]illed \(program ",
    r"Killed signal terminated program",
    r"internal compiler error: Killed",
    r"signal: 9, SIGKILL",
    r"terminated by signal 9\b",
    r"virtual memory exhausted",
    r"Cannot allocate memory",
    r"\b[Oo]ut of memory\b",
    r"\b[Oo][Oo][Mm]-?[Kk]ill",
    r"std::bad_alloc",
    r"^MemoryError\b",
)
"""Signs that a process was killed, or gave up, because memory was short."""

_FILE_AND_LINE = r"""(?:^|[ \t"'(<,=])[^ \t:\n]*[A-Za-z_][^ \t:\nA-Za-z_]*:[0-9]+(?::[0-9]+)?: [^ \t\n]"""
"""CTest's `file:line: text`, with a file that has a letter and no colon: not `12:34:56: x`, not `http://host:80: x`."""

_SPACK_ERRORS = (
    *MEMORY_KILLS,
    _FILE_AND_LINE,
    r": (?:fatal )?[Ee]rror(?:$|[^A-Za-z0-9_.\n])",
    r"^==> Error: ",
    r"^(?:FATAL|ERROR|FAIL|Error|Fatal Error|fatal error|error): ",
    r"^error(?:\[E[0-9]+\])?: ",
    r"\bFAILED\b",
    r"\bFailed test",
    r"\b(?:undefined reference to|undefined symbol:|multiple definition of|relocation truncated to fit)",
    r"\b(?:cannot find -l|library not found for -l|ld returned [0-9]+ exit status|DSO missing from command line)",
    r"^Undefined symbols for architecture",
    r"\bsymbol\(s\) not found for architecture",
    r"^Traceback \(most recent call last\):",
    r"^(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Z][A-Za-z0-9_]*(?:Error|Exception)(?:: |$)",
    r"^ *(?:error: )?subprocess-exited-with-error",
    r"^ *ERROR: ",
    r"^-- Configuring incomplete, errors occurred!",
    r"^CMake Error",
    r"make(?:\[[0-9]+\])?: \*\*\* ",
    r"^ninja: (?:build stopped|error|fatal)",
    r"^(?:nvcc|ptxas) (?:fatal|error)",
    r"\bNV[A-Z]+-[SF]-[0-9]+-",
    r"\bPGF90-[SF]-[0-9]+-",
    r"^thread '.*' panicked at ",
    r"\binternal compiler error\b",
    r"\b(?:Segmentation fault|Bus error|Illegal instruction|Aborted|Floating point exception) \(core dumped\)",
    r"[0-9] (?:Segmentation fault|Bus error|Illegal instruction|Aborted|Floating point exception)\b",
    r"\bNo space left on device",
    r": [Cc]ommand not found",
    r"sh: (?:line )?[0-9]+: .*: not found",
)

_SPACK_ERROR_EXCEPTIONS = (
    r": remark: ",
    r": note: ",
    r": [Ww]arning: ",
    r"\*\*\* Waiting for unfinished jobs",
    r"\bFAILED: 0\b",
    r"\b0 (?:FAILED|failed)\b",
    r": [A-Z][A-Za-z]*Warning: ",
    r"\bmake(?:\[[0-9]+\])?: .* \(ignored\)$",
    r"\bldconfig: Can't create temporary cache file",
)

_SPACK_WARNINGS = (
    r"(?:^|[ :])[Ww]arning: ",
    r"^warning(?:\[[^\]\n]*\])?: ",
    r"^WARNING: '.*' is missing",
    r"\b[A-Z][A-Za-z]*Warning: ",
    r"^CMake (?:Deprecation )?Warning",
)

_SPACK_WARNING_EXCEPTIONS = (r": note: ",)

# These two have stricter versions above: `file:line: text`, and `error` as a word of its own.
_NOT_FOR_SPACK = frozenset({"([^ :]+):([0-9]+): ([^ \\t])", "([^:]+): (Error:|error|undefined reference|multiply defined)"})
# A note belongs to the warning or error before it.
_NOT_WARNINGS_FOR_SPACK = frozenset({"([^ :]+):([0-9]+): note:"})
# They hide make's own errors: `make: *** [Makefile:10: all] Error 2`.
_NOT_EXCEPTIONS_FOR_SPACK = frozenset({"makefile:", "Makefile:"})


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
    line_bytes=1 << 18,
)

SPACK = Rules(
    name="spack",
    errors=(*_SPACK_ERRORS, *_spack(ctest.ERRORS, _NOT_FOR_SPACK)),
    error_exceptions=(*_SPACK_ERROR_EXCEPTIONS, *_spack(ctest.ERROR_EXCEPTIONS, _NOT_EXCEPTIONS_FOR_SPACK)),
    warnings=(*_SPACK_WARNINGS, *_spack(ctest.WARNINGS, _NOT_WARNINGS_FOR_SPACK)),
    warning_exceptions=(*_SPACK_WARNING_EXCEPTIONS, *_spack(ctest.WARNING_EXCEPTIONS, _NOT_EXCEPTIONS_FOR_SPACK)),
    escapes=ESCAPES,
    last_line=True,
    plain_places=True,
    line_bytes=1 << 14,
)

RULES = {rules.name: rules for rules in (CTEST, SPACK)}
