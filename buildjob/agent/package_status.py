"""What a package is at: for people in the status line of a terminal, and a line a minute elsewhere; for programs as events.

Knows no process, and nothing of how a package is built.
"""

import time
from collections.abc import Callable, Sequence

from buildjob.agent.schedule import Schedule
from buildjob.event_output import Events
from buildjob.events import (
    FirstError,
    Package,
    PackageFinished,
    PackagePhase,
    PackagePlanned,
    PackagePublished,
    PackageStarted,
)
from buildjob.run_folder import RunResult
from buildjob.spack.concrete import ConcreteSpec
from buildjob.telemetry import PackageSpec
from status_line.text import elapsed, shortened, size


class PackageStatus:
    """One package of a call; any thread may ask it, while another one changes it."""

    def __init__(self, title: str, *, number: int = 1, of: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`number` is the package's place among the `of` packages that this call builds."""
        self.title = title
        self.number, self.of = number, of
        self._clock = clock
        self._begun = clock()
        self.phase: Callable[[], str] = str
        """Returns what it is at; "" before it is at anything."""
        self.memory_bytes: Callable[[], int] = int
        """Returns its working set as it was last measured; 0 if that is not known."""

    def begin(self) -> None:
        """Let its time begin now."""
        self._begun = self._clock()

    def at(self, phase: str) -> None:
        """Be at something other than a phase of the build, such as publishing."""
        self.phase, self.memory_bytes = (lambda: phase), int

    @property
    def place(self) -> str:
        """Its place where there are several, such as `[3/5] `; else ""."""
        return f"[{self.number}/{self.of}] " if self.of > 1 else ""

    def forms(self) -> list[str]:
        """Return `[3/5] hdf5@1.14.3 (build, 2:31, 3.1 GiB)`, and the forms for narrow terminals."""
        phase, time_text, memory = self.phase(), elapsed(self._clock() - self._begun), self.memory_bytes()
        place = f"[{self.number}/{self.of}] "
        memory_text = size(memory) if memory else ""
        whole = shortened(f"{place}{self.title}", [phase, time_text, memory_text])[:2]
        # where there is little room, place and time are what a glance is for
        without_version = f"{place}{self.title.partition('@')[0]} ({time_text})"
        return [*whole, f"{place}{self.title} ({time_text})", without_version, f"{place}{self.title}"]

    def line(self, *, peak_bytes: int | None) -> str:
        """Return the line a minute: its place only where there are several, and its peak memory so far."""
        facts = [self.phase(), elapsed(self._clock() - self._begun), size(peak_bytes) if peak_bytes else ""]
        return f"{self.place}{self.title} ({', '.join(filter(None, facts))})"


def announce_plan(events: Events, work: Schedule) -> None:
    """Tell other programs what is to become of each package."""
    for action, specs in (("nothing", work.nothing), ("publish", work.publish_only), ("fetch", work.fetched)):
        for spec in specs:
            events.emit(PackagePlanned(package=package_of(spec), action=action))
    announce_builds(events, [package_of(spec) for spec in work.build])


def announce_builds(events: Events, built: Sequence[Package]) -> None:
    """Tell other programs which packages are to be built, in this order."""
    for number, package in enumerate(built, 1):
        events.emit(PackagePlanned(package=package, action="build", number=number, of=len(built)))


def announce_start(events: Events, result: RunResult, *, number: int = 1, of: int = 1) -> None:
    """Tell other programs that a package's build begins."""
    events.emit(PackageStarted(package=_package(result), number=number, of=of, folder=str(result.folder)))


def announce_phase(events: Events, result: RunResult, phase: str) -> None:
    """Tell other programs that a phase begins."""
    events.emit(PackagePhase(package=_package(result), phase=phase))


def announce_result(events: Events, result: RunResult) -> None:
    """Tell other programs what became of a package."""
    document = result.telemetry
    if (publish := document.publish) is not None:
        events.emit(PackagePublished(package=_package(result), state=publish.state, url=publish.url, bytes=publish.bytes))
    error = document.first_error
    events.emit(
        PackageFinished(
            package=_package(result),
            outcome=result.outcome,
            is_root=result.is_root,
            wall_seconds=document.totals.wall_seconds,
            cpu_seconds=document.totals.cpu_seconds,
            memory_peak_bytes=document.totals.memory_working_set_peak_bytes,
            folder=str(result.folder),
            first_error=FirstError(line=error.line, text=error.text) if error else None,
        )
    )


def package_of(spec: ConcreteSpec | PackageSpec) -> Package:
    """Return what events say of a spec."""
    return Package(name=spec.name, version=spec.version, hash=spec.hash)


def _package(result: RunResult) -> Package:
    return package_of(result.telemetry.spec)
