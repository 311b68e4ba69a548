"""What `spack-farm build --json` prints: one event a line, for other programs. Version 1: docs/reference/build-events.md.

An event is a value; `event_output` writes it. Readers ignore fields and events that they do not know.
"""

import datetime as dt

import msgspec

from buildjob.outcome import Outcome

VERSION = 1


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """Which package an event is about."""

    name: str
    """Its name; that of `--name` for a `--command` build."""
    version: str
    """Its version."""
    hash: str = ""
    """Its DAG hash; empty for a `--command` build."""


class FirstError(msgspec.Struct, frozen=True, kw_only=True):
    """The first error in a package's log."""

    line: int
    """Its line in `build.log`, from 1."""
    text: str
    """That line, without secrets."""


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    """Of these events: 1."""
    at: str = msgspec.field(default_factory=_now)
    """When it happened: RFC 3339, UTC."""


class RunBegun(_Event, frozen=True, kw_only=True, tag_field="event", tag="run_begun"):
    """The first event: the call has begun."""

    spack_farm: str
    """The version of spack-farm."""


class PackagePlanned(_Event, frozen=True, kw_only=True, tag_field="event", tag="package_planned"):
    """What is to become of a package in this call. All of these come before the first package starts."""

    package: Package
    """The package."""
    action: str
    """`build`, `fetch` (install from a build cache), `publish` (what is installed already) or `nothing`."""
    number: int | None = None
    """Its place among the packages that are built, from 1; null for other actions."""
    of: int | None = None
    """How many packages are built."""


class PackageStarted(_Event, frozen=True, kw_only=True, tag_field="event", tag="package_started"):
    """A package's build begins."""

    package: Package
    """The package."""
    number: int
    """Its place among the packages that are built, from 1."""
    of: int
    """How many packages are built."""
    folder: str
    """Its run folder: log, telemetry and pages."""


class PackagePhase(_Event, frozen=True, kw_only=True, tag_field="event", tag="package_phase"):
    """A phase of a package's build begins, and ends the one before."""

    package: Package
    """The package."""
    phase: str
    """Such as `spack-start`, `configure`, `build`, `install`, `spack-end`; `command` for a `--command` build."""


class PackagePublished(_Event, frozen=True, kw_only=True, tag_field="event", tag="package_published"):
    """What became of a package's binary."""

    package: Package
    """The package."""
    state: str
    """As in `telemetry.json`: `published`, `already_there`, `unpublished`, `failed`, …"""
    url: str
    """Its address; empty if it has none."""
    bytes: int
    """How much was uploaded; 0 if nothing was."""


class PackageFinished(_Event, frozen=True, kw_only=True, tag_field="event", tag="package_finished"):
    """How a package's run ended. One for each package that has a run folder, also for those that were not built."""

    package: Package
    """The package."""
    outcome: Outcome
    """As in `telemetry.json`."""
    is_root: bool
    """Whether it was asked for; otherwise something that was asked for needs it."""
    wall_seconds: float
    """How long it took; 0 if nothing was run."""
    cpu_seconds: float | None
    """CPU time of all its processes; null if it could not be measured."""
    memory_peak_bytes: int | None
    """The peak of its working set; null if it could not be measured."""
    folder: str
    """Its run folder: log, telemetry and pages."""
    first_error: FirstError | None = None
    """The first error in its log; null if there is none."""


class Warned(_Event, frozen=True, kw_only=True, tag_field="event", tag="warning"):
    """Something that a person should look at; it has no effect on the outcome by itself."""

    text: str
    """For people."""


class Failed(_Event, frozen=True, kw_only=True, tag_field="event", tag="error"):
    """What went wrong, and what to do next."""

    text: str
    """For people."""


class RunFinished(_Event, frozen=True, kw_only=True, tag_field="event", tag="run_finished"):
    """The last event."""

    exit_code: int
    """That of the call."""
    outcome: Outcome | None
    """Of the whole call, as the exit code counts it; null for a bug in spack-farm."""


Event = (
    RunBegun
    | PackagePlanned
    | PackageStarted
    | PackagePhase
    | PackagePublished
    | PackageFinished
    | Warned
    | Failed
    | RunFinished
)
