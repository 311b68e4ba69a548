"""What a build is, as frozen values: site, events, commands, tests, notes, uploads. `write` turns them into documents.

Knows nothing of XML, files or the network. Times are seconds since 1970 (UTC), sizes bytes; units stand in the names,
`write` turns them into CDash's (MiB, milliseconds …). Obeys: CDash 5.3, app/Validators/Schemas/*.xsd and
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
"""A text or its bytes, or the file that holds them: files are streamed, never held in memory."""

Kind = Literal["error", "warning"]
TestStatus = Literal["passed", "failed", "notrun"]
CommandKind = Literal["Custom", "Install", "CmakeBuild", "CmakeInstall"]
MeasurementType = Literal[
    "numeric/double", "text/string", "text/preformatted", "text/link", "image/png", "image/jpeg", "image/gif", "file"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Who built what: the identity of a build on CDash, and the machine.

    CDash finds a build by (project, name, build_name, build_stamp, subproject) and draws trends over equal name, build name
    and group, so none of the three should hold a hash, a job number or an ephemeral host. Empty or None: not sent.
    """

    name: str
    """The runner class, stable over runs; the site of CDash's pages."""
    build_name: str
    """Stable over runs, such as `zlib %gcc@12 linux-debian12-x86_64`."""
    build_stamp: str
    """`YYYYMMDD-HHMM-<group>`; the group must exist in the project, CDash never makes one (see `naming.build_stamp`)."""
    subproject: str = ""
    generator: str = "ctest_xml-1"
    """Optional in CDash's schema, yet Notes and Upload fail without it."""
    append: bool = False
    """True: CDash adds to a build that is there instead of replacing it."""
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

    Texts keep bytes that are no UTF-8 as lone surrogates (Python's `surrogateescape`), colours and CR as they stood; `write`
    cleans them.
    """

    kind: Kind
    log_line: int
    """1-based line of the log."""
    text: str
    """The line without its end."""
    file: str = ""
    """The source file it speaks of; empty: none found."""
    file_line: int | None = None
    pre_context: str = ""
    """Lines before it, each ended by a newline."""
    post_context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A command that failed (or warned) as a whole: shown with its argument list, output and exit condition."""

    kind: Kind = "error"
    arguments: tuple[str, ...]
    """At least the program; CDash cuts each at 255."""
    exit_condition: str
    """A number, or words such as `Killed: out of memory`."""
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
    """A named value of a test or a command. Numbers that are not finite are left out."""

    name: str
    """With its unit, such as `PeakMemoryMiB`; CDash plots by name."""
    value: float | str | Content
    """A number, a text, or for images and files the content."""
    type: MeasurementType = "numeric/double"
    file_name: str = ""
    """For `file`: the name it is downloaded by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A bar on CDash's instrumentation page: a phase, a step, a sample interval."""

    kind: CommandKind = "Custom"
    command: str
    working_directory: str = ""
    start_seconds: float
    duration_seconds: float
    result: str = "0"
    """Exit code or a word."""
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
    """User and system together, where they are not known apart."""
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    log: Content = ""
    """Its part of the log; empty: not kept apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was in use at one moment of a build."""

    time_seconds: float
    memory_bytes: int
    """Working set."""
    cpu_cores: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Configure.xml: one a build. CDash itself counts warnings in the log: lines with `CMake Warning` or `WARNING:`."""

    start_seconds: float
    end_seconds: float
    command: str
    log: Content
    errors: int = 0
    """CDash shows the status as the number of errors: 0, 1 or a true count, not an exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Build.xml: errors, warnings and the timeline. The iterables are walked once, in order, so they may be generators."""

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

    __test__ = False  # for pytest, which collects what is called Test

    name: str
    status: TestStatus
    path: str = "."
    command_line: str = ""
    start_seconds: float | None = None
    execution_seconds: float | None = None
    """Stored with 1/100 s."""
    completion: str = ""
    """Such as `Completed`."""
    exit_code: str = ""
    """Such as `Failed`, shown behind the completion."""
    measurements: tuple[Measurement, ...] = ()
    output: Content = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Testing:
    """Test.xml. Sent twice it counts twice."""

    __test__ = False

    start_seconds: float
    end_seconds: float
    tests: Iterable[Test] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text readable in the browser, ANSI colours included."""

    name: str
    text: Content
    time_seconds: float
    """CDash drops a note whose time is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to download. `*.url`: its content becomes a link."""

    name: str
    """With an extension; one without gets `.txt`, as CDash's job fails on it."""
    content: Content
    compress: bool = False
    """True: gzipped on the way, `.gz` appended to the name."""


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
    """Not empty: an update error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Done.xml: nothing else will come. Anything sent after it deletes the build."""

    build_id: str
    time_seconds: float
