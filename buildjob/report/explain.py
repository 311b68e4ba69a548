"""What an outcome means in words, and what to do about it: the same words on the page and on the terminal.

Pure: one telemetry document in, words out. Knows neither markup nor colors.
"""

import enum
import signal
from collections.abc import Callable

import msgspec

from buildjob.outcome import Outcome
from buildjob.report.foreign_text import cut_quietly
from buildjob.report.format import format_bytes, format_cores, format_seconds, format_share, round_up_bytes
from buildjob.report.limits import read_bounds
from buildjob.telemetry import Telemetry


class Tone(enum.StrEnum):
    """How good the news is."""

    GOOD = "good"
    MIXED = "mixed"
    BAD = "bad"
    OPEN = "open"
    """Not known (yet)."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for people."""

    tone: Tone
    words: str
    """Two or three words: `Killed for memory`."""
    detail: str
    """A sentence or two with the figures that matter. May hold foreign names, as all fields here may."""
    advice: tuple[str, ...] = ()
    """What to do, most promising first; empty if there is nothing to do."""


def judge(telemetry: Telemetry) -> Verdict:
    """Return what is to be said about a run. An outcome that this version does not know is quoted, not interpreted."""
    if not telemetry.complete:
        return _unfinished(telemetry)
    return _judge_outcome(telemetry)


def _judge_outcome(telemetry: Telemetry) -> Verdict:
    explain = _EXPLAINED.get(telemetry.outcome)
    if explain:
        return explain(telemetry)
    unknown = Verdict(
        tone=Tone.OPEN,
        words=f"Outcome: {telemetry.outcome or 'none'}",
        detail=f"This version of the report does not know that outcome. The exit code was {telemetry.exit_code}.",
    )
    return _FIXED.get(telemetry.outcome, unknown)


def _unfinished(telemetry: Telemetry) -> Verdict:
    counted = _judge_outcome(telemetry)
    return Verdict(
        tone=Tone.OPEN,
        words="Not finished",
        detail=(
            f"Written while the build ran, last at {telemetry.ended_at}. If nothing newer follows, the agent was stopped "
            f"before it could say why, and the run counts as: {counted.words}."
        ),
        advice=("If the job has ended, look at the last events of its pod and node.",),
    )


def _built(telemetry: Telemetry) -> Verdict:
    state = telemetry.publish.state if telemetry.publish else ""
    detail = _PUBLISHED.get(state, "")
    if not telemetry.memory_kills:
        return Verdict(tone=Tone.GOOD, words="Built", detail=detail, advice=_size_advice(telemetry))
    return Verdict(
        tone=Tone.MIXED,
        words="Built",
        detail=f"{detail} Yet the kernel killed {_kill_words(telemetry)} on the way, and the build went on without.".strip(),
        advice=(_more_memory(telemetry), "Check the binary: a killed test or compiler may have left something out."),
    )


def _build_failed(telemetry: Telemetry) -> Verdict:
    error = telemetry.first_error
    if error is None:
        detail = "The build ended with an error, but its log names none that we recognize."
        return Verdict(tone=Tone.BAD, words="Build failed", detail=detail, advice=("Read the end of build.log.",))
    where = f"in the {error.phase} phase, " if error.phase else "in "
    return Verdict(
        tone=Tone.BAD,
        words="Build failed",
        detail=f"The first error stands {where}line {error.line:,} of build.log.",
        advice=("Begin with that first error: later ones often only follow from it.",),
    )


def _memory_killed(telemetry: Telemetry) -> Verdict:
    bounds, totals = read_bounds(telemetry), telemetry.totals
    limit = (
        f"the limit of {format_bytes(bounds.memory_limit_bytes)}"
        if bounds.memory_limit_bytes
        else "all memory of the machine"
    )
    peak = totals.memory_working_set_peak_bytes
    measured = f" The highest sample of its working set was {format_bytes(peak)}." if peak is not None else ""
    fewer = f"Or build with fewer than {telemetry.spec.build_jobs} jobs at once." if telemetry.spec.build_jobs > 1 else ""
    return Verdict(
        tone=Tone.BAD,
        words="Killed for memory",
        detail=f"The build reached {limit}, and the kernel killed {_kill_words(telemetry)}.{measured}",
        advice=tuple(line for line in (_more_memory(telemetry), fewer) if line),
    )


def _disk_full(telemetry: Telemetry) -> Verdict:
    bounds, peak = read_bounds(telemetry), telemetry.totals.disk_peak_bytes
    used = f" Its files took up {format_bytes(peak)}." if peak is not None else ""
    asked = f" It had asked for {format_bytes(bounds.disk_asked_bytes)}." if bounds.disk_asked_bytes else ""
    known = max(bounds.disk_asked_bytes or 0, peak or 0)
    least = f"Ask for at least {format_bytes(round_up_bytes(2 * known))} of disk, or build" if known else "Build"
    return Verdict(
        tone=Tone.BAD,
        words="Disk full",
        detail=f"The build ran out of disk space.{used}{asked}",
        advice=(f"{least} where more is free.",),
    )


def _timed_out(telemetry: Telemetry) -> Verdict:
    totals, bounds = telemetry.totals, read_bounds(telemetry)
    phase = f" in its {telemetry.phases[-1].name} phase" if telemetry.phases else ""
    used = mean_cores(telemetry)
    busy = used is not None and used > 0.8 * bounds.cores
    return Verdict(
        tone=Tone.BAD,
        words="Timed out",
        detail=f"The build was stopped after {format_seconds(totals.wall_seconds)}{phase}.",
        advice=(
            f"It kept its {format_cores(bounds.cores)} busy: give it more time, or more cores."
            if busy
            else "Give it more time; if the CPU curve lies near zero at its end, the build hung and more time won't help.",
        ),
    )


def _interrupted(telemetry: Telemetry) -> Verdict:
    number = telemetry.exit_code - 128
    name = f" by {signal.Signals(number).name}" if number in _SIGNALS else ""
    return Verdict(
        tone=Tone.MIXED,
        words="Interrupted",
        detail=f"The agent was told to stop{name} after {format_seconds(telemetry.totals.wall_seconds)}.",
        advice=("The job was canceled or its node taken away. Nothing here speaks against the package: run it again.",),
    )


def _kill_words(telemetry: Telemetry) -> str:
    """Name what was killed, and say when the name is a conclusion."""
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


def _more_memory(telemetry: Telemetry) -> str:
    """Say how much memory to try. Doubling wastes less than small steps: what the killed process still wanted is unknown."""
    limit = read_bounds(telemetry).memory_limit_bytes
    peak = telemetry.totals.memory_working_set_peak_bytes or 0
    if not limit:
        return "Build where more memory is free."
    return f"Ask for at least {format_bytes(round_up_bytes(2 * max(limit, peak)))} of memory, twice the limit that it hit."


def _size_advice(telemetry: Telemetry) -> tuple[str, ...]:
    """Say what a good run teaches about its size: nearly too small, or far too big."""
    bounds, peak = read_bounds(telemetry), telemetry.totals.memory_working_set_peak_bytes
    if not peak or telemetry.totals.memory_is_estimate:
        return ()
    wanted = round_up_bytes(peak * 6 // 5)
    if bounds.memory_limit_bytes and peak > 0.9 * bounds.memory_limit_bytes:
        share = format_share(peak, bounds.memory_limit_bytes)
        return (f"Its memory reached {share} of the limit: next time ask for {format_bytes(wanted)}.",)
    if bounds.memory_asked_bytes and wanted < bounds.memory_asked_bytes // 2:
        share = format_share(peak, bounds.memory_asked_bytes)
        return (f"It used {share} of the memory it asked for: {format_bytes(wanted)} would do.",)
    return ()


def shorten_command(command: str) -> str:
    """Return a command for a sentence: the program without its folders, and as much of the rest as fits."""
    program, space, rest = command.partition(" ")
    return cut_quietly(f"{program.rpartition('/')[2] or program}{space}{rest}", limit=60)


def mean_cores(telemetry: Telemetry) -> float | None:
    """Return CPU time over wall time; None without a measured wall time."""
    totals = telemetry.totals
    return totals.cpu_seconds / totals.wall_seconds if totals.wall_seconds > 0 else None


_SIGNALS = frozenset(int(number) for number in signal.Signals)

_PUBLISHED = {
    "published": "The binary is signed and in the build cache.",
    "already_there": "The build cache had this binary before.",
    "unpublished": "The binary was left as an unsigned build-cache entry; nothing was uploaded.",
    "failed": "The binary could not be published.",
}

# Outcomes whose words need the run's figures.
_EXPLAINED: dict[str, Callable[[Telemetry], Verdict]] = {
    Outcome.BUILT: _built,
    Outcome.BUILD_FAILED: _build_failed,
    Outcome.MEMORY_KILLED: _memory_killed,
    Outcome.DISK_FULL: _disk_full,
    Outcome.TIMED_OUT: _timed_out,
    Outcome.INTERRUPTED: _interrupted,
}

# The others, among them the driver's own two.
_FIXED: dict[str, Verdict] = {
    Outcome.ALREADY_THERE: Verdict(
        tone=Tone.GOOD, words="Already there", detail="This very hash was installed before: nothing was built."
    ),
    Outcome.BAD_REQUEST: Verdict(
        tone=Tone.BAD,
        words="Bad request",
        detail="The command line or the settings ask for what can't work.",
        advice=("The job log names the option or the key.",),
    ),
    Outcome.SPACK_UNUSABLE: Verdict(
        tone=Tone.BAD,
        words="Spack is unusable",
        detail="Spack did not start, or did not understand its own configuration.",
        advice=("Run 'spack --version' and 'spack config blame' in the same image.",),
    ),
    Outcome.FETCH_FAILED: Verdict(
        tone=Tone.BAD,
        words="Sources not fetched",
        detail="The sources, or the binary of a dependency, could not be downloaded.",
        advice=("Try again: this often passes.", "If it stays, check the version's URL and checksum, and the mirrors."),
    ),
    Outcome.DEPENDENCY_FAILED: Verdict(
        tone=Tone.BAD,
        words="Dependency failed",
        detail="The package was not tried, because one that it needs is missing.",
        advice=("Mend the dependency first; its own report says what went wrong.",),
    ),
    Outcome.PUBLISH_FAILED: Verdict(
        tone=Tone.MIXED,
        words="Built, not published",
        detail="The build is good; signing or uploading its binary failed.",
        advice=("The job log names the cause. Publishing can be repeated without building again.",),
    ),
    "script_succeeded": Verdict(tone=Tone.GOOD, words="Script succeeded", detail=""),
    "script_failed": Verdict(
        tone=Tone.BAD,
        words="Script failed",
        detail="The job's script ended with a code other than 0.",
        advice=("Read the job log.",),
    ),
}
