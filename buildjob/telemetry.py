"""The document `telemetry.json`, version 1: what one run of one package used and how it ended.

Written by the agent, read by sizing, by people and by the report page. Readers ignore keys that they do not know and treat
an unknown outcome as unknown. Knows nothing of how the figures are measured.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from buildjob.files import write_whole

VERSION = 1

SPACK_START = "spack-start"
"""The phase in which Spack starts: from the start of the run to the first package that it installs."""
SPACK_END = "spack-end"
"""The phase in which Spack ends: from a package that is installed to the end of the run, or to the next package."""
COMMAND = "command"
"""The phase of a `--command` build, as far as its log names no others."""
SURROUNDING_PHASES = frozenset({SPACK_START, SPACK_END, COMMAND})
"""Phases that no package names: with them, the phases of a run have no gaps. Names of packages' phases have no hyphen."""


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """A direct dependency of the package."""

    name: str
    """Package name."""
    version: str
    hash: str
    """DAG hash, 32 characters."""
    types: list[str] = []
    """Spack's dependency types: build, link, run, test."""


class PackageSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was built. A `--command` build has name and version only."""

    name: str
    """Package name."""
    version: str
    hash: str = ""
    """The DAG hash, 32 characters; empty for a `--command` build."""
    architecture: str = ""
    """`platform-os-target`."""
    compiler: str = ""
    """`name@version`."""
    variants: dict[str, str | bool | list[str]] = {}
    """Variant to value, as Spack has it."""
    dependencies: list[Dependency] = []
    """Direct dependencies only."""
    build_jobs: int = 0
    """Parallel jobs that the build was allowed."""


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The CI job that ran the agent; absent outside CI. Public facts only."""

    id: str = ""
    """`CI_JOB_ID`."""
    name: str = ""
    """`CI_JOB_NAME`."""
    url: str = ""
    """`CI_JOB_URL`."""
    project: str = ""
    """`CI_PROJECT_PATH`."""
    ref: str = ""
    """Branch or tag."""
    ref_protected: bool = False
    """Whether the branch or tag is protected: sizes are computed from such runs only."""
    pipeline_id: str = ""
    """`CI_PIPELINE_ID`."""
    stack: str = ""
    """`SPACK_CI_STACK_NAME`."""
    image: str = ""
    """The image of the build container."""
    attempt: int = 0
    """Of the job, from 1; 0 where unknown."""
    runner: str = ""
    """The runner's description."""
    pod: str = ""
    node: str = ""
    commit: str = ""
    """`CI_COMMIT_SHA`."""
    commit_url: str = ""
    """The commit's page."""
    pipeline_url: str = ""
    """`CI_PIPELINE_URL`."""
    pipeline_created_at: str = ""
    """`CI_PIPELINE_CREATED_AT`: RFC 3339."""
    started_at: str = ""
    """`CI_JOB_STARTED_AT`: RFC 3339; when the runner took the job."""
    agent_started_at: str = ""
    """RFC 3339, UTC; what lies between this and the start of the build is planning and fetching."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the pod was given, by the Downward API; absent where unknown."""

    cpu_millicores: int | None = None
    """CPU request."""
    memory_bytes: int | None = None
    """Memory request."""
    memory_limit_bytes: int | None = None
    """Memory limit."""
    disk_bytes: int | None = None
    """Request for ephemeral storage."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the build ran."""

    cpus: int
    """Logical CPUs."""
    memory_bytes: int
    """All of its memory."""
    cgroup: str = "none"
    """v1, v2 or none."""
    memory_limit_bytes: int | None = None
    """The lowest limit that holds for the build; None if there is none."""
    cpu_limit_cores: float | None = None
    """The lowest CPU quota that holds; None if there is none."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the whole run of this package. None means: could not be measured."""

    wall_seconds: float = 0.0
    """From start to end of the build."""
    cpu_seconds: float = 0.0
    """User and system time of all its processes."""
    memory_working_set_peak_bytes: int | None = None
    """Peak of usage − inactive file: what Kubernetes evicts by."""
    memory_anonymous_peak_bytes: int | None = None
    """Peak of anonymous + shared memory: what cannot be given back."""
    memory_swap_peak_bytes: int | None = None
    """Peak of what was moved to swap space; it is in no other figure. Null where no cgroup counts it."""
    memory_peak_bytes: int | None = None
    """The kernel's high-water mark; it counts page cache."""
    memory_peak_is_upper_bound: bool = False
    """The high-water mark may be older than the build."""
    memory_is_estimate: bool = False
    """No cgroup: the memory figures are sums over processes, in which shared pages may count more than once."""
    cpu_throttled_seconds: float | None = None
    """Time in which the CPU quota throttled the build, added up over its CPUs: may exceed the wall time."""
    memory_pressure_seconds: float | None = None
    """Time in which some process waited for memory (PSI `some`)."""
    read_bytes: int | None = None
    """From storage: by the cgroup on v2, else by process accounting."""
    written_bytes: int | None = None
    """To storage: by the cgroup on v2, else by process accounting."""
    disk_peak_bytes: int | None = None
    """Peak of the disk use of the build's stage folder and prefix."""
    process_peak: int | None = None
    """Most processes at once."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the build, in order of time. The phases follow each other from the start of the run to its end."""

    name: str
    """spack-start, stage, configure, build, install …, spack-end; command for a `--command` build."""
    start_seconds: float
    """After the start of the build."""
    wall_seconds: float
    """Its duration. The sum over all phases is the run's."""
    cpu_seconds: float | None = None
    """User and system time within it, never more than all CPUs can give. The sum over all phases is the run's."""
    memory_working_set_peak_bytes: int | None = None
    """Peak within it; None if it was over before anybody looked."""


def hole_after(interval_seconds: float) -> float:
    """Return after how many seconds without a reading a figure has a hole: 3 intervals of its samples, at least 3 s."""
    return 3 * max(interval_seconds, 1.0)


class SampleRow(NamedTuple):
    """One sample. None: the figure was not read in this interval, or a document from elsewhere lacks the value."""

    time_seconds: float
    memory_bytes: int | None
    cpu_cores: float | None
    processes: int | None
    late_seconds: float | None


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Samples as equally long lists, thinned so that they stay bounded; the peaks and totals above are exact.

    A figure that was not read in an interval is None in its list. An interval in which no figure was read has no sample.
    """

    interval_seconds: float = 1.0
    """Distance of two samples after thinning, where there is no hole."""
    time_seconds: list[float] = []
    """After the start of the build; the end of each interval."""
    memory_bytes: list[int | None] = []
    """Working set; the maximum within the interval."""
    cpu_cores: list[float | None] = []
    """Mean since the figure was last read."""
    processes: list[int | None] = []
    """The maximum within the interval."""
    late_seconds: list[float] = []
    """How much later than planned the sample was taken; the maximum within the interval."""
    holes: int = 0
    """How often more than 3 s passed between two readings of the memory."""
    hole_seconds: float = 0.0
    """How long all these holes were. Peaks within them are not known."""

    def rows(self) -> Iterator[SampleRow]:
        """Yield the samples in order of time."""
        columns = itertools.zip_longest(self.memory_bytes, self.cpu_cores, self.processes, self.late_seconds)
        for time_seconds, values in zip(self.time_seconds, columns, strict=False):
            yield SampleRow(time_seconds, *values)


class TopProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One of the processes that used the most memory or CPU time."""

    command: str
    """The program and its first distinctive argument, without folders."""
    memory_peak_bytes: int
    """Resident memory that no file and no shared memory backs."""
    cpu_seconds: float
    """User and system time."""


class MemoryKill(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel killed a process of the build for memory."""

    process: str | None
    """Its command; None if no sample saw it."""
    inferred: bool
    """Whether the process was inferred from the last sample: the kernel's counter names none."""
    limit_bytes: int | None
    """The limit that held; None if all memory of the machine was used."""
    at_seconds: float
    """After the start of the build, when it was noticed."""


class FirstError(msgspec.Struct, frozen=True, kw_only=True):
    """The first error in the build log."""

    line: int
    """Line of the log, from 1."""
    text: str
    """The line, without escapes, at most 2,000 characters."""
    file: str = ""
    """Source file and line, if the message names them."""
    phase: str = ""
    """The phase that wrote it."""


class BuildProcess(msgspec.Struct, frozen=True, kw_only=True):
    """How the build's own process ended: Spack's, or the shell's of `--command`."""

    exit_code: int | None
    """Its own; None if a signal ended it."""
    signal: str = ""
    """The signal that ended it, such as SIGKILL; empty if it exited."""


class FullDisk(msgspec.Struct, frozen=True, kw_only=True):
    """The file system that had no room left when the build failed."""

    use: str
    """What it is used for: stage folder, install tree, temporary files, run folder …"""
    folder: str
    """The folder that is used."""
    mount: str
    """Where the file system is mounted."""
    lacks: str
    """What there was no more of: space, inodes, or quota (which the file system's figures do not show)."""
    size_bytes: int
    """Of the whole file system."""
    free_bytes: int
    """For this user, when the build failed."""


class FetchFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a source could not be fetched from one address."""

    url: str
    reason: str
    may_pass: bool
    """Whether a retry may cure it."""
    kind: str = ""
    """Such as `timeout`, `name`, `absent`, `busy`, `checksum`; empty if it is not known."""


MISSING = "missing"
"""The outcome of a dependency that was not run and is not installed."""


class FailedDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A package without which this one could not be built: the one at the root, however many lie between."""

    name: str
    """Package name."""
    version: str
    hash: str
    """DAG hash, 32 characters."""
    outcome: str
    """Of its run; `missing` if there was none, and it is not installed."""
    first_error: FirstError | None = None
    """Of its log."""
    run_folder: str = ""
    """The name of its run folder, which lies beside this one; empty if there is none."""


class StandaloneTest(msgspec.Struct, frozen=True, kw_only=True):
    """A stand-alone test of the installed package, as `spack test run` runs them."""

    name: str
    status: str
    """`passed`, `failed`, `skipped` or `notrun`."""
    wall_seconds: float = 0.0


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """How the binary was published."""

    state: str
    """published, already_there, unpublished (left as an unsigned binary), not_redistributable, developed or failed."""
    url: str = ""
    """The manifest in the build cache, or the folder of the unsigned binary."""
    bytes: int = 0
    """Uploaded."""
    wall_seconds: float = 0.0
    """Of signing, uploading and indexing."""


class Reproduce(msgspec.Struct, frozen=True, kw_only=True):
    """What another machine needs to build the same again."""

    spack_commit: str = ""
    """Of Spack's own checkout."""
    packages_commit: str = ""
    """Of the package repository."""
    concrete_spec: str = ""
    """File name, beside this document."""
    image_digest: str = ""
    """Of the image that the build ran in."""
    variables: dict[str, str] = {}
    """The public settings that reached the build."""
    commands: list[str] = []
    """For a shell in the run folder; lines that begin with # say what they need."""


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Of the programs that took part."""

    spack_farm: str
    python: str
    """That the agent runs on."""
    spack: str = ""
    """Empty for a `--command` build."""


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document. While the build runs `complete` is false and `outcome` is what a kill would have been."""

    version: int = VERSION
    """Of this format: 1."""
    complete: bool
    """False while the build runs."""
    started_at: str
    """RFC 3339, UTC."""
    ended_at: str
    """RFC 3339, UTC; while the build runs: when this was written."""
    outcome: str
    """A value of `Outcome`."""
    exit_code: int
    """The agent's."""
    spec: PackageSpec
    """What was built."""
    job: Job | msgspec.UnsetType = msgspec.UNSET
    """Absent outside CI."""
    asked: Asked | msgspec.UnsetType = msgspec.UNSET
    """Absent where unknown."""
    machine: Machine
    """The machine that the build ran on."""
    totals: Totals
    """Of the whole run."""
    phases: list[Phase] = []
    """In order of time."""
    samples: Samples = Samples()
    """Memory, CPU and processes over time."""
    top_processes: list[TopProcess] = []
    """At most 10, the largest first."""
    memory_kills: list[MemoryKill] = []
    """Empty if the kernel killed no process, or if that cannot be known."""
    first_error: FirstError | None = None
    """None if the build succeeded or the log names none."""
    build_process: BuildProcess | None = None
    """None if nothing was run, or if it did not start."""
    full_disk: FullDisk | None = None
    """None if the outcome is not `disk_full`, or if it is not known which file system was full."""
    fetch_faults: list[FetchFault] = []
    """Empty if all sources were fetched."""
    failed_dependencies: list[FailedDependency] = []
    """Empty if the outcome is not `dependency_failed`."""
    tests: list[StandaloneTest] = []
    """Run after the build, if the job asks for them; they do not change the outcome."""
    publish: Publish | None = None
    """None if nothing was to be published."""
    reproduce: Reproduce = Reproduce()
    versions: Versions

    @property
    def was_measured(self) -> bool:
        """Whether anything was run: else all figures are absent."""
        return not self.complete or self.totals.wall_seconds > 0 or bool(self.phases)


def write(telemetry: Telemetry, path: Path) -> None:
    """Write the document so that a reader, or a kill at any instant, finds the old one or the new one whole."""
    write_whole(path, msgspec.json.encode(telemetry) + b"\n")


def read(path: Path) -> Telemetry:
    """Return the document in `path`. Raises msgspec.ValidationError, naming the key, if it is none of version 1."""
    document = msgspec.json.decode(path.read_bytes(), type=Telemetry)
    if document.version != VERSION:
        raise msgspec.ValidationError(f"Expected version {VERSION}, got {document.version} - at `$.version`")
    return document
