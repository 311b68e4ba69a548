"""What an outcome means for people, and what to do about it: the same sentences on the page and on the terminal.

Pure: one telemetry document in, sentences out. Knows neither markup nor colors. All sentences take their figures from one
place, so that no advice contradicts what is said to have happened.
"""

import enum
import signal
from collections.abc import Callable, Sequence

import msgspec

from buildjob.outcome import Outcome
from buildjob.report.clamp import clamp_document
from buildjob.report.foreign_text import cut, strip_ansi
from buildjob.report.format import format_bytes, format_cores, format_seconds, format_share, round_up_bytes
from buildjob.report.full_disk import describe_full_disk, more_disk
from buildjob.report.limits import mean_cores, read_limits
from buildjob.run_folder import LOG
from buildjob.telemetry import COMMAND, MISSING, SPACK_END, SPACK_START, FailedDependency, Telemetry


class Tone(enum.StrEnum):
    """How good the news is."""

    GOOD = "good"
    MIXED = "mixed"
    BAD = "bad"
    OPEN = "open"
    """Not known (yet)."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for people. All texts may hold foreign names."""

    tone: Tone
    headline: str
    """Two or three words: `Killed for memory`."""
    detail: str
    """A sentence or two with the figures that matter."""
    advice: tuple[str, ...] = ()
    """What to do, most promising first; empty if there is nothing to do."""


def explain(telemetry: Telemetry) -> Explanation:
    """Return the explanation of a run's outcome. An outcome that this version does not know is quoted, not interpreted."""
    telemetry = clamp_document(telemetry)
    if not telemetry.complete:
        return _unfinished(telemetry)
    return _explain_outcome(telemetry)


def headline_of(outcome: str, *, complete: bool, has_kills: bool = False) -> tuple[Tone, str]:
    """Return how good the news is, and the headline, without the figures of a run: for one line among thousands."""
    if not complete:
        return Tone.OPEN, _NOT_FINISHED
    tone, headline = _SHORT.get(outcome, (Tone.OPEN, f"Outcome: {outcome or 'none'}"))
    return Tone.MIXED if outcome == Outcome.BUILT and has_kills else tone, headline


def _explain_outcome(telemetry: Telemetry) -> Explanation:
    with_figures = _WITH_FIGURES.get(telemetry.outcome)
    if with_figures:
        return with_figures(telemetry)
    unknown = Explanation(
        tone=Tone.OPEN,
        headline=f"Outcome: {telemetry.outcome or 'none'}",
        detail=f"This version of the report does not know that outcome. The exit code was {telemetry.exit_code}.",
    )
    return _FIXED.get(telemetry.outcome, unknown)


def _unfinished(telemetry: Telemetry) -> Explanation:
    counted = _explain_outcome(telemetry)
    return Explanation(
        tone=Tone.OPEN,
        headline=_NOT_FINISHED,
        detail=(
            f"Written while the build ran, last at {telemetry.ended_at}. If nothing newer follows, the agent was stopped "
            f"before it could say why, and the run counts as: {counted.headline}."
        ),
        advice=("If the job has ended, look at the last events of its pod and node.",),
    )


def _built(telemetry: Telemetry) -> Explanation:
    state = telemetry.publish.state if telemetry.publish else ""
    detail = _PUBLISHED.get(state, "")
    if not telemetry.memory_kills:
        return Explanation(tone=Tone.GOOD, headline="Built", detail=detail, advice=_size_advice(telemetry))
    return Explanation(
        tone=Tone.MIXED,
        headline="Built",
        detail=f"{detail} The kernel killed {_killed(telemetry)} during the build, which went on without it.".strip(),
        advice=(_more_memory(telemetry), "Check the binary: a killed test or compiler may have left something out."),
    )


def _already_there(telemetry: Telemetry) -> Explanation:
    state = telemetry.publish.state if telemetry.publish else ""
    detail = f"This hash was already installed: nothing was built. {_PUBLISHED.get(state, '')}".strip()
    return Explanation(tone=Tone.GOOD, headline="Already there", detail=detail)


def _publish_failed(telemetry: Telemetry) -> Explanation:
    if telemetry.totals.wall_seconds == 0:
        return Explanation(
            tone=Tone.BAD,
            headline="Not published",
            detail="Nothing was built, since the package was there, or can't be published with what it needs at run time.",
            advice=("The job log names the cause, and what to do.",),
        )
    return Explanation(
        tone=Tone.MIXED,
        headline="Built, not published",
        detail="The build is good; signing or uploading its binary failed.",
        advice=("The job log names the cause. Publishing can be repeated without building again.",),
    )


def _build_failed(telemetry: Telemetry) -> Explanation:
    error, ended = telemetry.first_error, _how_it_ended(telemetry)
    if error is None:
        detail = f"{ended or 'The build ended with an error.'} The log holds no error that we recognize."
        return Explanation(tone=Tone.BAD, headline="Build failed", detail=detail, advice=(f"Read the end of {LOG}.",))
    where = f"in the {error.phase} phase, " if error.phase else "in "
    return Explanation(
        tone=Tone.BAD,
        headline="Build failed",
        detail=f"{ended} The first error is {where}line {error.line:,} of {LOG}.".strip(),
        advice=("Begin with that first error: later ones often only follow from it.",),
    )


def _how_it_ended(telemetry: Telemetry) -> str:
    """Return how the build's own process ended, as a sentence; empty where it says nothing: Spack's code is always 1."""
    ended, is_spack = telemetry.build_process, bool(telemetry.spec.hash)
    program = "Spack" if is_spack else "The command"
    if ended is None:
        return ""
    if ended.signal:
        return f"{program} was ended by {ended.signal}."
    if is_spack or ended.exit_code is None:
        return ""
    number = ended.exit_code - 128
    # the shell's way to report a signal: of a program in the command, not of the shell itself
    shell = f", as a shell reports {signal.Signals(number).name}" if number in _SIGNALS else ""
    return f"The command ended with exit code {ended.exit_code}{shell}."


def _memory_killed(telemetry: Telemetry) -> Explanation:
    limit, peak = _reached_limit(telemetry), telemetry.totals.memory_working_set_peak_bytes
    if limit:
        happened = f"The build reached the limit of {format_bytes(limit)}"
    elif _stayed_below_half_of(telemetry, telemetry.machine.memory_bytes):
        happened = "The machine, or a group that the build is in, ran out of memory, most of which was not the build's"
    else:
        happened = "The build reached all memory of the machine"
    measured = f" The highest sample of its working set was {format_bytes(peak)}." if peak is not None else ""
    return Explanation(
        tone=Tone.BAD,
        headline="Killed for memory",
        detail=f"{happened}, and the kernel killed {_killed(telemetry)}.{measured}",
        advice=(_more_memory(telemetry), *_fewer_jobs(telemetry)),
    )


def _fetch_failed(telemetry: Telemetry) -> Explanation:
    faults = telemetry.fetch_faults
    shown = "; ".join(f"{cut(fault.url, limit=200)}: {cut(fault.reason, limit=200)}" for fault in faults[:_SHOWN_FAULTS])
    more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
    advice = (
        ("Try again: this often passes.", "If it does not, check the version's URL and checksum, and the mirrors.")
        if not faults or any(fault.may_pass for fault in faults)
        else ("A retry will hardly help. Check the version's URL and checksum, or put the file on a source mirror.",)
    )
    return Explanation(
        tone=Tone.BAD,
        headline="Sources not fetched",
        detail="The sources could not be downloaded" + (f": {shown}{more}." if faults else "."),
        advice=advice,
    )


def _dependency_failed(telemetry: Telemetry) -> Explanation:
    failed = telemetry.failed_dependencies
    names = ", ".join(_name_of(each) for each in failed[:_SHOWN_FAULTS])
    if not failed:
        advice = "Read the job log: it names the dependency."
    elif all(each.outcome == MISSING for each in failed):
        advice = f"Run it again: {names} will be built or fetched before it."
    else:
        advice = f"Begin with {names}: nothing is known against this package."
    return Explanation(
        tone=Tone.BAD,
        headline="Dependency failed",
        detail=f"It was not built, since {describe_failed(failed)}." if failed else "It was not built: a dependency failed.",
        advice=(advice,),
    )


def describe_failed(failed: Sequence[FailedDependency]) -> str:
    """Return which packages failed and how, as part of a sentence that says why another one was not built."""
    more = f"; and {len(failed) - _SHOWN_FAULTS} more" if len(failed) > _SHOWN_FAULTS else ""
    return "; ".join(_describe_one(each) for each in failed[:_SHOWN_FAULTS]) + more


def _describe_one(failed: FailedDependency) -> str:
    if failed.outcome == MISSING:
        return f"{_name_of(failed)}, which it needs, is not installed any more"
    headline = _HEADLINES.get(failed.outcome, f"outcome {failed.outcome or 'unknown'}")
    error = f" ({cut(strip_ansi(failed.first_error.text), limit=200)})" if failed.first_error else ""
    return f"{_name_of(failed)}, which it needs, failed: {headline}{error}"


def _name_of(failed: FailedDependency) -> str:
    return f"{failed.name}@{failed.version}/{failed.hash[:7]}"


def _disk_full(telemetry: Telemetry) -> Explanation:
    limits, peak, full = read_limits(telemetry), telemetry.totals.disk_peak_bytes, telemetry.full_disk
    used = f" Its stage folder and prefix took up {format_bytes(peak)}." if peak is not None else ""
    asked = f" It had asked for {format_bytes(limits.disk_asked_bytes)}." if limits.disk_asked_bytes else ""
    reason = f": {describe_full_disk(full)}" if full else ""
    done = " The package is built and installed." if telemetry.publish else ""
    return Explanation(
        tone=Tone.BAD,
        headline="Disk full",
        detail=f"There was no room left on disk{reason}.{done}{used}{asked}",
        advice=tuple(more_disk(full, asked_bytes=limits.disk_asked_bytes, used_bytes=peak or 0)),
    )


def _timed_out(telemetry: Telemetry) -> Explanation:
    totals, limits = telemetry.totals, read_limits(telemetry)
    if telemetry.publish and telemetry.publish.state == "failed":
        return Explanation(
            tone=Tone.BAD,
            headline="Timed out",
            detail="The time was over while the binary was being published. The package is built and installed.",
            advice=("Give it more time and run it again: it publishes what is installed, without building it.",),
        )
    if not totals.wall_seconds:
        return Explanation(
            tone=Tone.BAD,
            headline="Timed out",
            detail="The time was over before Spack began to build the package.",
            advice=("Another process may hold its lock: give it more time, or run it again when that process has ended.",),
        )
    used = mean_cores(telemetry)
    busy = used is not None and limits.cores is not None and used > 0.8 * limits.cores
    return Explanation(
        tone=Tone.BAD,
        headline="Timed out",
        detail=f"The build was stopped after {format_seconds(totals.wall_seconds)}{_last_phase(telemetry, whose='its')}.",
        advice=(
            f"It kept its {format_cores(limits.cores)} busy: give it more time, or more cores."
            if busy and limits.cores is not None
            else "Give it more time; if the CPU curve lies near zero at its end, the build hung and more time won't help.",
        ),
    )


def _interrupted(telemetry: Telemetry) -> Explanation:
    number = telemetry.exit_code - 128
    name = f" by {signal.Signals(number).name}" if number in _SIGNALS else ""
    seconds = telemetry.totals.wall_seconds
    when = f"after {format_seconds(seconds)}" if seconds else "before Spack began to build the package"
    phase = _last_phase(telemetry, whose="the build's")
    return Explanation(
        tone=Tone.MIXED,
        headline="Interrupted",
        detail=f"The agent was stopped{name} {when}{phase}.",
        advice=("The job was canceled, or its node was lost. The package is not at fault: run it again.",),
    )


def _last_phase(telemetry: Telemetry, *, whose: str) -> str:
    """Return in which phase the run was when it ended, to follow a verb; nothing if it has no phases of its own."""
    if not telemetry.phases:
        return ""
    name = telemetry.phases[-1].name
    return _IN_PHASE.get(name, f" in {whose} {name} phase")


def _killed(telemetry: Telemetry) -> str:
    """Return what was killed, as part of a sentence; it says if the name is inferred."""
    kills = telemetry.memory_kills
    if not kills:
        return "a process"
    first = kills[0]
    more = f" and {len(kills) - 1} more" if len(kills) > 1 else ""
    if first.process is None:
        return f"a process that no sample saw{more}"
    name = shorten_command(first.process)
    if first.inferred:
        return f"a process, probably '{name}' (the biggest in the last sample: the kernel does not say which){more}"
    return f"'{name}'{more}"


def _reached_limit(telemetry: Telemetry) -> int | None:
    """Return the limit at which the kernel killed; None if there is none, or if the build was far below it.

    The kernel also kills in a build whose limit is not reached: when the machine or a group above runs out of memory.
    """
    limit = read_limits(telemetry).memory_limit_bytes
    return None if limit is None or _stayed_below_half_of(telemetry, limit) else limit


def _stayed_below_half_of(telemetry: Telemetry, size: int) -> bool:
    """Return whether the kernel's own mark says so: samples may have missed a peak."""
    totals = telemetry.totals
    mark = totals.memory_peak_bytes
    return mark is not None and max(mark, totals.memory_working_set_peak_bytes or 0) < size / 2


def _more_memory(telemetry: Telemetry) -> str:
    """Return how much memory to try: doubling takes the fewest tries while the need is unknown."""
    limit = _reached_limit(telemetry)
    if not limit:
        return "Build where more memory is free."
    return f"Ask for at least {format_bytes(2 * limit)} of memory, twice the limit that it hit."


def _fewer_jobs(telemetry: Telemetry) -> tuple[str, ...]:
    """Return the advice to build with fewer jobs, if several processes of the killed program shared the memory.

    Fewer jobs do not help where one process alone takes most of it, or where the large processes are not known.
    """
    jobs, kills = telemetry.spec.build_jobs, telemetry.memory_kills
    limit = _reached_limit(telemetry) or telemetry.machine.memory_bytes
    program = _program(kills[0].process) if kills and kills[0].process else ""
    alike = [top.memory_peak_bytes for top in telemetry.top_processes if program and _program(top.command) == program]
    if jobs < 2 or len(alike) < 2 or max(alike) > limit / 2:
        return ()
    fewer = jobs // 2
    return (f"Or build with {fewer} {'job' if fewer == 1 else 'jobs'} at once instead of {jobs}.",)


def _program(command: str) -> str:
    return command.partition(" ")[0].rpartition("/")[2]


def _size_advice(telemetry: Telemetry) -> tuple[str, ...]:
    """Return what a good run teaches about its size: nearly too small, or far too big."""
    limits, peak = read_limits(telemetry), telemetry.totals.memory_working_set_peak_bytes
    if not peak or telemetry.totals.memory_is_estimate:
        return ()
    wanted = round_up_bytes(peak * 6 // 5)
    if limits.memory_limit_bytes and peak > 0.9 * limits.memory_limit_bytes:
        share = format_share(peak, limits.memory_limit_bytes)
        return (f"Its memory reached {share} of the limit: next time ask for {format_bytes(wanted)}.",)
    # Less is advised only where the peak is known: in a hole the build may have used more, without swap it would have.
    is_known = not telemetry.samples.holes and not telemetry.totals.memory_swap_peak_bytes
    if limits.memory_asked_bytes and wanted < limits.memory_asked_bytes // 2 and is_known:
        share = format_share(peak, limits.memory_asked_bytes)
        return (f"It used {share} of the memory it asked for: {format_bytes(wanted)} would do.",)
    return ()


def shorten_command(command: str) -> str:
    """Return a command for a sentence: the program without its folders, and as much of the rest as fits."""
    program, space, rest = command.partition(" ")
    return cut(f"{program.rpartition('/')[2] or program}{space}{rest}", limit=60)


_SHOWN_FAULTS = 3
_NOT_FINISHED = "Not finished"

_HEADLINES: dict[str, str] = {
    Outcome.BUILD_FAILED: "it does not build",
    Outcome.FETCH_FAILED: "its sources were not fetched",
    Outcome.DEPENDENCY_FAILED: "a dependency of it failed",
    Outcome.DISK_FULL: "a disk was full",
    Outcome.MEMORY_KILLED: "it was killed for memory",
    Outcome.TIMED_OUT: "its time was over",
    Outcome.INTERRUPTED: "it was interrupted",
    Outcome.SPACK_UNUSABLE: "Spack is unusable",
    Outcome.PUBLISH_FAILED: "it was not published",
    Outcome.BAD_REQUEST: "it can't be built as asked",
}
"""What happened to a dependency, by outcome."""

_SIGNALS = frozenset(int(number) for number in signal.Signals)

_IN_PHASE = {
    SPACK_START: " while Spack started",
    SPACK_END: ", when its package was installed",
    COMMAND: "",
}

_PUBLISHED = {
    "published": "The binary is in the build cache.",
    "already_there": "The build cache had this binary before.",
    "unpublished": "The binary was left as an unsigned build-cache entry; nothing was uploaded.",
    "not_redistributable": "The binary was not published: its recipe says that it must not be redistributed.",
    "developed": "The binary was not published: it is built from a developer's folder, which its hash does not describe.",
    "failed": "The binary could not be published.",
}

# Outcomes whose explanation needs the run's figures.
_WITH_FIGURES: dict[str, Callable[[Telemetry], Explanation]] = {
    Outcome.BUILT: _built,
    Outcome.ALREADY_THERE: _already_there,
    Outcome.PUBLISH_FAILED: _publish_failed,
    Outcome.BUILD_FAILED: _build_failed,
    Outcome.MEMORY_KILLED: _memory_killed,
    Outcome.DISK_FULL: _disk_full,
    Outcome.FETCH_FAILED: _fetch_failed,
    Outcome.DEPENDENCY_FAILED: _dependency_failed,
    Outcome.TIMED_OUT: _timed_out,
    Outcome.INTERRUPTED: _interrupted,
}

_SHORT: dict[str, tuple[Tone, str]] = {
    Outcome.BUILT: (Tone.GOOD, "Built"),
    Outcome.ALREADY_THERE: (Tone.GOOD, "Already there"),
    Outcome.PUBLISH_FAILED: (Tone.BAD, "Not published"),
    Outcome.BUILD_FAILED: (Tone.BAD, "Build failed"),
    Outcome.MEMORY_KILLED: (Tone.BAD, "Killed for memory"),
    Outcome.DISK_FULL: (Tone.BAD, "Disk full"),
    Outcome.FETCH_FAILED: (Tone.BAD, "Sources not fetched"),
    Outcome.DEPENDENCY_FAILED: (Tone.BAD, "Dependency failed"),
    Outcome.TIMED_OUT: (Tone.BAD, "Timed out"),
    Outcome.INTERRUPTED: (Tone.MIXED, "Interrupted"),
    Outcome.BAD_REQUEST: (Tone.BAD, "Bad request"),
    Outcome.SPACK_UNUSABLE: (Tone.BAD, "Spack is unusable"),
    "script_succeeded": (Tone.GOOD, "Script succeeded"),
    "script_failed": (Tone.BAD, "Script failed"),
}
"""As the explanations have them. Of a build whose publishing failed the page has more to say."""

# The others, among them the driver's own two.
_FIXED: dict[str, Explanation] = {
    Outcome.BAD_REQUEST: Explanation(
        tone=Tone.BAD,
        headline="Bad request",
        detail="The command line or the settings ask for something that cannot work.",
        advice=("The job log names the option or the key.",),
    ),
    Outcome.SPACK_UNUSABLE: Explanation(
        tone=Tone.BAD,
        headline="Spack is unusable",
        detail="Spack did not start, or rejected its own configuration.",
        advice=("Run 'spack --version' and 'spack config blame' in the same image.",),
    ),
    "script_succeeded": Explanation(tone=Tone.GOOD, headline="Script succeeded", detail=""),
    "script_failed": Explanation(
        tone=Tone.BAD,
        headline="Script failed",
        detail="The job's script ended with a code other than 0.",
        advice=("Read the job log.",),
    ),
}
