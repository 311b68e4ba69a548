"""A build as frozen values: site, events, commands, tests, notes, uploads. `write` turns them into documents.

Knows nothing of XML, files or the network. Times are seconds since 1970 (UTC), sizes bytes; the names have the units, and
`write` converts to CDash's (MiB, milliseconds …). Obeys: CDash 5.3, app/Validators/Schemas/*.xsd and
app/Http/Submission/Handlers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a file, from one byte to before another."""

    path: Path
    start: int
    end: int


Content = str | bytes | Path | Part
"""A text, its bytes, or the file that holds them. A file is streamed, never held in memory."""

Kind = Literal["error", "warning"]
TestStatus = Literal["passed", "failed", "notrun"]
CommandKind = Literal["Custom", "Install", "CmakeBuild", "CmakeInstall"]
MeasurementType = Literal[
    "numeric/double", "text/string", "text/preformatted", "text/link", "image/png", "image/jpeg", "image/gif", "file"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The identity of a build on CDash, and the machine that built it.

    CDash finds a build by (project, name, build_name, build_stamp, subproject) and draws trends over equal name, build name
    and group, so none of the three should hold a hash, a job number or a short-lived host. Empty or None: not sent.
    """

    name: str
    """The runner class, stable over runs; the site of CDash's pages."""
    build_name: str
    """Stable over runs, such as `zlib %gcc@12 linux-debian12-x86_64`."""
    build_stamp: str
    """`YYYYMMDD-HHMM-<group>`; the group must exist in the project: CDash makes none (see `naming.build_stamp`)."""
    subproject: str = ""
    generator: str = "ctest_xml-1"
    """Optional in CDash's schema, but Notes and Upload fail without it."""
    append: bool = False
    """True: CDash adds to an existing build instead of replacing it."""
    change_id: str = ""
    """The number of the merge request."""
    compiler_name: str = ""
    compiler_version: str = ""
    os_name: str = ""
    os_release: str = ""
    os_version: str = ""
    os_platform: str = ""
    is_64_bits: bool | None = None
    cpu_vendor: str = ""
    cpu_vendor_id: str = ""
    cpu_family: int | None = None
    cpu_model: int | None = None
    cpu_model_name: str = ""
    cpu_cache_bytes: int | None = None
    cpu_clock_hertz: float | None = None
    logical_cpus: int | None = None
    physical_cpus: int | None = None
    memory_bytes: int | None = None
    virtual_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One error or warning of a log.

    Texts keep colors and CR as they are in the log, and bytes that are not UTF-8 as lone surrogates (Python's
    `surrogateescape`); `write` cleans them.
    """

    kind: Kind
    log_line: int
    """1-based line of the log."""
    text: str
    """The line without its end."""
    file: str = ""
    """The source file that it names; empty: none found."""
    file_line: int | None = None
    pre_context: str = ""
    """The lines before it, each with its newline."""
    post_context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A command that failed (or warned) as a whole, with its arguments, output and exit condition."""

    kind: Kind = "error"
    arguments: tuple[str, ...]
    """At least the program. Each is cut at 255 bytes."""
    exit_condition: str
    """A number, or a text such as `Killed: out of memory`."""
    working_directory: str = ""
    target_name: str = ""
    language: str = ""
    source_file: str = ""
    output_file: str = ""
    output_type: str = ""
    stdout: Content = ""
    stderr: Content = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A named value of a test or a command. A number that is not finite is not sent."""

    name: str
    """With its unit, such as `PeakMemoryMiB`; CDash plots by name."""
    value: float | str | Content
    """A number, a text, or for images and files the content."""
    type: MeasurementType = "numeric/double"
    file_name: str = ""
    """For `file`: its name when it is downloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A bar on CDash's instrumentation page: a phase, a step, a sample interval."""

    kind: CommandKind = "Custom"
    command: str
    working_directory: str = ""
    start_seconds: float
    duration_seconds: float
    result: str = "0"
    """An exit code or a text."""
    measurements: tuple[Measurement, ...] = ()
    """`BeforeHostMemoryUsed` and `AfterHostMemoryUsed` (KiB) draw the memory curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of a package's build with what it cost; `mapping` makes a command, a test and a heading of it.

    None: not measured, or not begun.
    """

    name: str
    """configure, build, install …"""
    start_seconds: float
    wall_seconds: float
    exit_code: int = 0
    memory_before_bytes: int | None = None
    memory_after_bytes: int | None = None
    memory_peak_bytes: int | None = None
    """Highest working set."""
    cpu_seconds: float | None = None
    """User and system time together, if they are not known separately."""
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    log: Content = ""
    """Its part of the log; empty: not separated."""
    is_step: bool = True
    """It is a step of the package. Otherwise the build tool's own time: a bar of the timeline, but neither step nor test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a build used at one moment."""

    time_seconds: float
    memory_bytes: int
    """Working set."""
    cpu_cores: float | None
    """None: not known at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Configure.xml: one for each build. CDash counts warnings in its log: lines with `CMake Warning` or `WARNING:`."""

    start_seconds: float
    end_seconds: float
    command: str
    log: Content
    errors: int = 0
    """CDash shows this as a number of errors: 0, 1 or a count, not an exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Build.xml: errors, warnings and the timeline. The iterables are read once, in order, so they may be generators."""

    start_seconds: float
    end_seconds: float
    command: str
    source_directory: str = ""
    binary_directory: str = ""
    labels: tuple[str, ...] = ()
    events: Iterable[LogEvent | Failure] = ()
    failures: Iterable[Failure] = ()
    """Written before the events."""
    commands: Iterable[Command] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test; CDash draws trends of its numeric measurements."""

    __test__ = False  # pytest collects classes whose names begin with Test

    name: str
    status: TestStatus
    path: str = "."
    command_line: str = ""
    start_seconds: float | None = None
    execution_seconds: float | None = None
    """CDash stores hundredths of a second."""
    completion: str = ""
    """Such as `Completed`."""
    exit_code: str = ""
    """Such as `Failed`, shown behind the completion."""
    measurements: tuple[Measurement, ...] = ()
    output: Content = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Testing:
    """Test.xml. CDash counts it twice if it is sent twice."""

    __test__ = False

    start_seconds: float
    end_seconds: float
    tests: Iterable[Test] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text readable in the browser, ANSI colors included."""

    name: str
    text: Content
    time_seconds: float
    """CDash drops a note whose time is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to download. `*.url`: its content becomes a link."""

    name: str
    """With an extension; without one, CDash's job would fail, so `.txt` is appended."""
    content: Content
    compress: bool = False
    """True: gzipped, with `.gz` appended to the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Update.xml in its "version only" form: which commit was built. CDash asks GitHub or GitLab for the commits itself."""

    start_seconds: float
    end_seconds: float
    revision: str
    prior_revision: str = ""
    kind: str = "GIT"
    """At most four letters."""
    status: str = ""
    """Not empty: CDash shows an update error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Done.xml: the build is complete. CDash deletes the build if it gets anything after this."""

    build_id: str
    time_seconds: float
