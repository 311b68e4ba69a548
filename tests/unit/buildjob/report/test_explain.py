"""What each outcome means in words, and what to do about it."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildjob.outcome import Outcome
from buildjob.report.explain import Tone, judge, mean_cores, shorten_command
from buildjob.report.limits import read_bounds, read_job
from buildjob.telemetry import Asked, FirstError, Machine, MemoryKill, Publish
from tests.labs.telemetry_samples import GIB, MIB, change, sample

_KILL = MemoryKill(process="/usr/lib/gcc/cc1plus -O2 a.cc", inferred=True, limit_bytes=2 * GIB, at_seconds=75.0)
_UNLIMITED = Machine(cpus=8, memory_bytes=64 * GIB)


@pytest.mark.parametrize(
    ("outcome", "tone", "words", "has_advice"),
    [
        (Outcome.BUILT, Tone.GOOD, "Built", False),
        (Outcome.ALREADY_THERE, Tone.GOOD, "Already there", False),
        (Outcome.BUILD_FAILED, Tone.BAD, "Build failed", True),
        (Outcome.BAD_REQUEST, Tone.BAD, "Bad request", True),
        (Outcome.SPACK_UNUSABLE, Tone.BAD, "Spack is unusable", True),
        (Outcome.FETCH_FAILED, Tone.BAD, "Sources not fetched", True),
        (Outcome.DISK_FULL, Tone.BAD, "Disk full", True),
        (Outcome.DEPENDENCY_FAILED, Tone.BAD, "Dependency failed", True),
        (Outcome.PUBLISH_FAILED, Tone.MIXED, "Built, not published", True),
        (Outcome.TIMED_OUT, Tone.BAD, "Timed out", True),
        (Outcome.MEMORY_KILLED, Tone.BAD, "Killed for memory", True),
        (Outcome.INTERRUPTED, Tone.MIXED, "Interrupted", True),
        ("script_succeeded", Tone.GOOD, "Script succeeded", False),
        ("script_failed", Tone.BAD, "Script failed", True),
        ("evaporated", Tone.OPEN, "Outcome: evaporated", False),
        ("", Tone.OPEN, "Outcome: none", False),
    ],
)
def test_every_outcome_has_its_tone_and_words_and_what_is_bad_has_advice(
    outcome: str, tone: Tone, words: str, *, has_advice: bool
) -> None:
    verdict = judge(sample(outcome=outcome))
    assert (verdict.tone, verdict.words, bool(verdict.advice)) == (tone, words, has_advice)


def test_no_outcome_is_forgotten() -> None:
    assert [outcome for outcome in Outcome if judge(sample(outcome=outcome)).tone is Tone.OPEN] == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("published", "The binary is signed and in the build cache."),
        ("already_there", "The build cache had this binary before."),
        ("unpublished", "The binary was left as an unsigned build-cache entry; nothing was uploaded."),
        ("failed", "The binary could not be published."),
        ("evaporated", ""),
    ],
)
def test_a_good_build_says_what_became_of_its_binary(state: str, words: str) -> None:
    assert judge(sample(publish=Publish(state=state))).detail == words


def test_a_memory_kill_names_limit_peak_and_process_and_asks_for_twice_the_limit() -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=2040 * MIB)
    verdict = judge(sample(outcome="memory_killed", memory_kills=[_KILL], totals=totals))
    assert verdict.detail == (
        "The build reached the limit of 2 GiB, and the kernel killed a process, probably 'cc1plus -O2 a.cc' (the biggest in "
        "the last sample: the kernel does not say which). The highest sample of its working set was 1.99 GiB."
    )
    assert verdict.advice == (
        "Ask for at least 4 GiB of memory, twice the limit that it hit.",
        "Or build with fewer than 4 jobs at once.",
    )


def test_a_memory_kill_that_names_its_process_is_no_guess() -> None:
    kills = [msgspec.structs.replace(_KILL, inferred=False), _KILL, _KILL]
    assert (
        "the kernel killed 'cc1plus -O2 a.cc' and 2 more."
        in judge(sample(outcome="memory_killed", memory_kills=kills)).detail
    )


def test_a_memory_kill_without_limit_peak_process_or_jobs_still_says_what_is_known() -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=None)
    kill = MemoryKill(process=None, inferred=False, limit_bytes=None, at_seconds=1.0)
    spec = change(sample().spec, build_jobs=1)
    for kills, who in (([], "a process"), ([kill], "a process that no sample saw")):
        verdict = judge(
            sample(
                outcome="memory_killed",
                totals=totals,
                memory_kills=kills,
                machine=_UNLIMITED,
                asked=msgspec.UNSET,
                spec=spec,
            )
        )
        assert verdict.detail == f"The build reached all memory of the machine, and the kernel killed {who}."
        assert verdict.advice == ("Build where more memory is free.",)


def test_a_build_that_survived_a_kill_is_no_plain_success() -> None:
    verdict = judge(sample(memory_kills=[_KILL]))
    assert (verdict.tone, verdict.words) == (Tone.MIXED, "Built")
    assert "Yet the kernel killed a process, probably 'cc1plus -O2 a.cc'" in verdict.detail
    assert "Ask for at least 4 GiB" in verdict.advice[0]


@pytest.mark.parametrize(
    ("peak", "advice"),
    [
        (100 * MIB, "It used 20 % of the memory it asked for: 128 MiB would do."),
        (240 * MIB, ""),
        (1000 * MIB, ""),
        (1900 * MIB, "Its memory reached 93 % of the limit: next time ask for 2.25 GiB."),
        (0, ""),
        (None, ""),
    ],
)
def test_a_good_build_says_when_its_size_was_wrong(peak: int | None, advice: str) -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=peak)
    assert "".join(judge(sample(totals=totals)).advice) == advice


def test_an_estimate_advises_no_size() -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=1, memory_is_estimate=True)
    assert judge(sample(totals=totals)).advice == ()


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (None, "The build ended with an error, but its log names none that we recognize."),
        (
            FirstError(line=1847, text="x", phase="build"),
            "The first error stands in the build phase, line 1,847 of build.log.",
        ),
        (FirstError(line=7, text="x"), "The first error stands in line 7 of build.log."),
    ],
)
def test_a_failed_build_says_where_its_first_error_is(error: FirstError | None, detail: str) -> None:
    assert judge(sample(outcome="build_failed", first_error=error)).detail == detail


@pytest.mark.parametrize(
    ("peak", "asked", "detail", "wanted"),
    [
        (5 * GIB, 4 * GIB, " Its files took up 5 GiB. It had asked for 4 GiB.", "10 GiB"),
        (1 * GIB, 4 * GIB, " Its files took up 1 GiB. It had asked for 4 GiB.", "8 GiB"),
        (3 * GIB, None, " Its files took up 3 GiB.", "6 GiB"),
        (None, None, "", ""),
    ],
)
def test_a_full_disk_names_use_and_what_to_ask_for(peak: int | None, asked: int | None, detail: str, wanted: str) -> None:
    totals = change(sample().totals, disk_peak_bytes=peak)
    verdict = judge(sample(outcome="disk_full", totals=totals, asked=Asked(disk_bytes=asked)))
    assert verdict.detail == f"The build ran out of disk space.{detail}"
    least = f"Ask for at least {wanted} of disk, or build" if wanted else "Build"
    assert verdict.advice == (f"{least} where more is free.",)


def test_a_timeout_tells_a_busy_build_from_one_that_hung() -> None:
    busy = change(sample().totals, wall_seconds=100.0, cpu_seconds=350.0)
    idle = change(sample().totals, wall_seconds=100.0, cpu_seconds=50.0)
    verdicts = [judge(sample(outcome="timed_out", totals=totals)) for totals in (busy, idle)]
    assert [verdict.detail for verdict in verdicts] == ["The build was stopped after 1 min 40 s in its install phase."] * 2
    assert verdicts[0].advice == ("It kept its 4 cores busy: give it more time, or more cores.",)
    assert "the build hung" in verdicts[1].advice[0]


@pytest.mark.parametrize(("code", "name"), [(143, " by SIGTERM"), (130, " by SIGINT"), (0, ""), (500, "")])
def test_an_interruption_names_its_signal(code: int, name: str) -> None:
    verdict = judge(sample(outcome="interrupted", exit_code=code))
    assert verdict.detail == f"The agent was told to stop{name} after 2 min 31 s."


def test_an_unfinished_document_says_what_it_counts_as() -> None:
    verdict = judge(sample(complete=False, outcome="interrupted"))
    assert (verdict.tone, verdict.words) == (Tone.OPEN, "Not finished")
    assert "last at 2025-11-24T09:16:33Z" in verdict.detail
    assert verdict.detail.endswith("the run counts as: Interrupted.")


@pytest.mark.parametrize(
    ("command", "short"),
    [
        ("/usr/lib/gcc/cc1plus -O2 /a/b.cc", "cc1plus -O2 /a/b.cc"),
        ("make", "make"),
        ("/odd/", "/odd/"),
        ("", ""),
        ("ld " + "x" * 100, "ld " + "x" * 54 + "..."),
    ],
)
def test_commands_are_shortened_for_a_sentence(command: str, short: str) -> None:
    assert shorten_command(command) == short


def test_mean_cores_need_a_wall_time() -> None:
    totals = change(sample().totals, wall_seconds=100.0, cpu_seconds=150.0)
    assert mean_cores(sample(totals=totals)) == 1.5
    assert mean_cores(sample(totals=change(totals, wall_seconds=0.0))) is None


@example(limits=[-1, 0, 5])
@given(limits=st.lists(st.one_of(st.none(), st.integers(-1, 100)), min_size=3, max_size=3))
def test_the_lowest_known_limit_holds(limits: list[int | None]) -> None:
    kill = msgspec.structs.replace(_KILL, limit_bytes=limits[2])
    machine = change(sample().machine, memory_limit_bytes=limits[1])
    bounds = read_bounds(sample(asked=Asked(memory_limit_bytes=limits[0]), machine=machine, memory_kills=[kill]))
    assert bounds.memory_limit_bytes == min((limit for limit in limits if limit and limit > 0), default=None)


def test_bounds_outside_ci_are_the_machine_s() -> None:
    bounds = read_bounds(sample(asked=msgspec.UNSET, machine=_UNLIMITED))
    assert (bounds.memory_asked_bytes, bounds.memory_limit_bytes, bounds.disk_asked_bytes) == (None, None, None)
    assert (bounds.cores_asked, bounds.cores, bounds.cores_limited) == (None, 8.0, False)
    assert read_job(sample(job=msgspec.UNSET)) is None


def test_bounds_in_a_pod_are_what_it_was_given() -> None:
    bounds = read_bounds(sample())
    assert (bounds.cores_asked, bounds.cores, bounds.cores_limited) == (2.0, 4.0, True)
    assert (bounds.memory_asked_bytes, bounds.memory_limit_bytes) == (512 * MIB, 2 * GIB)
    assert bounds.disk_asked_bytes == 4 * GIB
    job = read_job(sample())
    assert job is not None
    assert job.stack == "e4s"
