"""The document `telemetry.json`, version 1: what one run of one package used and how it ended.

Written by the agent, read by sizing, by people and by the report page. Readers ignore keys that they do not know and treat
an unknown outcome as unknown. Knows nothing of how the figures are measured.
"""

from pathlib import Path

import msgspec

from buildjob.files import write_whole

VERSION = 1


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """A direct dependency of the package."""

    name: str
    version: str
    hash: str
    types: list[str] = []
    """Spack's dependency types: build, link, run, test."""


class PackageSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was built. A `--command` build has name and version only."""

    name: str
    version: str
    hash: str = ""
    """The DAG hash, 32 characters; empty for a `--command` build."""
    architecture: str = ""
    compiler: str = ""
    """`name@version`."""
    variants: dict[str, str | bool | list[str]] = {}
    dependencies: list[Dependency] = []
    build_jobs: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The CI job that ran the agent; absent outside CI. Public facts only."""

    id: str = ""
    name: str = ""
    url: str = ""
    project: str = ""
    ref: str = ""
    ref_protected: bool = False
    pipeline_id: str = ""
    stack: str = ""
    image: str = ""
    attempt: int = 0
    runner: str = ""
    pod: str = ""
    node: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the pod was given, as the Downward API says it; absent where unknown."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    disk_bytes: int | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the build ran."""

    cpus: int
    memory_bytes: int
    cgroup: str = "none"
    """v1, v2 or none."""
    memory_limit_bytes: int | None = None
    """The lowest limit that holds for the build; None if there is none."""
    cpu_limit_cores: float | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the whole run of this package. None means: could not be measured."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_working_set_peak_bytes: int | None = None
    """Peak of usage − inactive file: what Kubernetes evicts by."""
    memory_anonymous_peak_bytes: int | None = None
    """Peak of anonymous + shared memory: what cannot be given back."""
    memory_peak_bytes: int | None = None
    """The kernel's high-water mark; it counts page cache."""
    memory_peak_is_upper_bound: bool = False
    """The mark was set before the build began."""
    memory_is_estimate: bool = False
    """No cgroup: the memory figures are sums over processes, in which shared pages count more than once."""
    cpu_throttled_seconds: float | None = None
    memory_pressure_seconds: float | None = None
    """Time in which some process waited for memory (PSI `some`)."""
    read_bytes: int | None = None
    written_bytes: int | None = None
    disk_peak_bytes: int | None = None
    """Peak of what the build's stage and prefix took up."""
    process_peak: int | None = None


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the build, in order of time."""

    name: str
    start_seconds: float
    wall_seconds: float
    cpu_seconds: float | None = None
    memory_working_set_peak_bytes: int | None = None


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The curves: equally long lists, thinned so that they stay bounded; extremes and totals above are exact."""

    interval_seconds: float = 1.0
    """Distance of two samples after thinning."""
    time_seconds: list[float] = []
    memory_bytes: list[int] = []
    """Working set; the maximum within the interval."""
    cpu_cores: list[float] = []
    """Mean over the interval."""
    processes: list[int] = []
    late_seconds: list[float] = []
    """How much later than planned the sample was taken; the maximum within the interval."""


class TopProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One of the processes that used most."""

    command: str
    memory_peak_bytes: int
    cpu_seconds: float


class MemoryKill(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel killed a process of the build for memory."""

    process: str | None
    """Its command; None if no sample saw it."""
    inferred: bool
    """The kernel's counter names no process: it was concluded from the last sample."""
    limit_bytes: int | None
    at_seconds: float


class FirstError(msgspec.Struct, frozen=True, kw_only=True):
    """The first error in the build log."""

    line: int
    """Line of the log, from 1."""
    text: str
    file: str = ""
    """Source file and line, if the message names them."""
    phase: str = ""


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the binary."""

    state: str
    """published, already_there, unpublished (left as an unsigned entry) or failed."""
    url: str = ""
    bytes: int = 0
    wall_seconds: float = 0.0


class Reproduce(msgspec.Struct, frozen=True, kw_only=True):
    """What another machine needs to build the same again."""

    spack_commit: str = ""
    packages_commit: str = ""
    concrete_spec: str = ""
    """File name, beside this document."""
    image_digest: str = ""
    variables: dict[str, str] = {}
    """The public settings that reached the build."""


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Of the programs that took part."""

    spack_farm: str
    python: str
    spack: str = ""


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document. While the build runs `complete` is false and `outcome` is what a kill would have been."""

    version: int = VERSION
    complete: bool
    started_at: str
    """RFC 3339, UTC."""
    ended_at: str
    outcome: str
    """A value of `Outcome`."""
    exit_code: int
    spec: PackageSpec
    job: Job | msgspec.UnsetType = msgspec.UNSET
    asked: Asked | msgspec.UnsetType = msgspec.UNSET
    machine: Machine
    totals: Totals
    phases: list[Phase] = []
    samples: Samples = Samples()
    top_processes: list[TopProcess] = []
    memory_kills: list[MemoryKill] = []
    first_error: FirstError | None = None
    publish: Publish | None = None
    reproduce: Reproduce = Reproduce()
    versions: Versions


def write(telemetry: Telemetry, path: Path) -> None:
    """Write the document so that a reader, or a kill at any instant, finds the old one or the new one whole."""
    write_whole(path, msgspec.json.encode(telemetry) + b"\n")


def read(path: Path) -> Telemetry:
    """Return the document in `path`. Raises msgspec.ValidationError, naming the key, if it is none of version 1."""
    return msgspec.json.decode(path.read_bytes(), type=Telemetry)
