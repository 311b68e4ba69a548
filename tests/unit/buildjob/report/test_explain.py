"""What each outcome means for people, and what to do about it."""

import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildjob.outcome import Outcome
from buildjob.report.explain import Tone, explain, shorten_command
from buildjob.report.format import format_bytes
from buildjob.report.limits import mean_cores, read_limits
from buildjob.telemetry import (
    Asked,
    BuildProcess,
    FailedDependency,
    FetchFault,
    FirstError,
    FullDisk,
    Machine,
    MemoryKill,
    Phase,
    Publish,
    TopProcess,
    Totals,
)
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
    explanation = explain(sample(outcome=outcome))
    assert (explanation.tone, explanation.headline, bool(explanation.advice)) == (tone, words, has_advice)


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.INTERRUPTED])
def test_an_end_before_the_build_began_is_said_as_such(outcome: Outcome) -> None:
    waited = change(sample(outcome=outcome), phases=[], totals=Totals())
    assert "before Spack began to build the package" in explain(waited).detail


def test_an_end_while_publishing_says_that_the_package_is_installed() -> None:
    late = change(sample(outcome=Outcome.TIMED_OUT), publish=Publish(state="failed"))
    assert "while the binary was being published. The package is built and installed." in explain(late).detail


def test_no_outcome_is_forgotten() -> None:
    assert [outcome for outcome in Outcome if explain(sample(outcome=outcome)).tone is Tone.OPEN] == []


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        ("published", "in the build cache"),
        ("already_there", "before"),
        ("unpublished", "nothing was uploaded"),
        ("failed", "could not be published"),
    ],
)
def test_a_good_build_says_what_became_of_its_binary(state: str, fact: str) -> None:
    assert fact in explain(sample(publish=Publish(state=state))).detail


def test_a_state_of_the_binary_that_is_not_known_is_not_interpreted() -> None:
    assert explain(sample(publish=Publish(state="evaporated"))).detail == ""


def test_a_memory_kill_names_limit_peak_and_process_and_asks_for_twice_the_limit() -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=2040 * MIB)
    several = [TopProcess(command="/usr/bin/cc1plus x.cc", memory_peak_bytes=600 * MIB, cpu_seconds=1.0)] * 3
    explanation = explain(sample(outcome="memory_killed", memory_kills=[_KILL], totals=totals, top_processes=several))
    for fact in ("limit of 2 GiB", "probably 'cc1plus -O2 a.cc'", "1.99 GiB"):
        assert fact in explanation.detail
    more_memory, fewer_jobs = explanation.advice
    assert "at least 4 GiB" in more_memory
    assert fewer_jobs == "Or build with 2 jobs at once instead of 4."


@pytest.mark.parametrize("limit", [400 * MIB, 512 * MIB, 1000 * MIB, 3 * GIB, 2_000_000_000, 64 * MIB])
def test_what_to_ask_for_after_a_kill_is_twice_the_limit_to_the_digit(limit: int) -> None:
    """`832 MiB, twice the limit` stood here, of 400 MiB: number and name came from two figures."""
    kill = msgspec.structs.replace(_KILL, limit_bytes=limit)
    machine = change(sample().machine, memory_limit_bytes=limit)
    for peak in (limit // 2, limit, limit + 4096, None):
        totals = change(sample().totals, memory_working_set_peak_bytes=peak, memory_peak_bytes=limit)
        document = sample(outcome="memory_killed", memory_kills=[kill], totals=totals, machine=machine, asked=msgspec.UNSET)
        wanted = f"Ask for at least {format_bytes(2 * limit)} of memory, twice the limit that it hit."
        assert explain(document).advice[0] == wanted


def test_a_kill_far_below_the_limit_was_not_the_limits() -> None:
    """The node ran out of memory: twice a limit that was not reached would not help."""
    totals = change(sample().totals, memory_working_set_peak_bytes=300 * MIB, memory_peak_bytes=400 * MIB)
    explanation = explain(sample(outcome="memory_killed", memory_kills=[_KILL], totals=totals))
    assert explanation.detail.startswith("The machine, or a group that the build is in, ran out of memory")
    assert "limit" not in explanation.detail
    assert explanation.advice == ("Build where more memory is free.",)


def _large(*processes: tuple[str, int]) -> list[TopProcess]:
    return [TopProcess(command=command, memory_peak_bytes=size * MIB, cpu_seconds=1.0) for command, size in processes]


@pytest.mark.parametrize(
    ("jobs", "victim", "top", "advice"),
    [
        (2, "cc1", _large(("cc1 big.c", 380), ("python3", 70)), None),  # one compiler was all
        (2, "cc1 big.c", _large(("cc1 big.c", 300), ("cc1 b.c", 90)), None),  # it alone takes most of the limit
        (2, "cc1", _large(("cc1 a.c", 190), ("cc1 b.c", 180), ("make", 3)), "1 job at once instead of 2."),
        (16, "/usr/lib/cc1plus -O2", _large(("cc1plus a.cc", 90), ("cc1plus b.cc", 80)), "8 jobs at once instead of 16."),
        (3, "ld", _large(("cc1 a.c", 150), ("cc1 b.c", 150)), None),  # the killed program ran once, or nobody saw it
        (2, None, _large(("cc1 a.c", 190), ("cc1 b.c", 180)), None),  # what was killed is unknown
        (2, "cc1", [], None),
        (1, "cc1", _large(("cc1 a.c", 190), ("cc1 b.c", 180)), None),  # there was one job already
        (0, "cc1", _large(("cc1 a.c", 190), ("cc1 b.c", 180)), None),  # a command build: its jobs are unknown
    ],
)
def test_fewer_jobs_are_advised_only_where_several_processes_shared_the_memory(
    jobs: int, victim: str | None, top: list[TopProcess], advice: str | None
) -> None:
    kill = MemoryKill(process=victim, inferred=False, limit_bytes=400 * MIB, at_seconds=1.0)
    spec = change(sample().spec, build_jobs=jobs)
    document = sample(outcome="memory_killed", memory_kills=[kill], top_processes=top, spec=spec)
    found = [line for line in explain(document).advice if "job" in line]
    assert found == ([f"Or build with {advice}"] if advice else [])


def test_a_memory_kill_that_names_its_process_is_no_guess() -> None:
    kills = [msgspec.structs.replace(_KILL, inferred=False), _KILL, _KILL]
    detail = explain(sample(outcome="memory_killed", memory_kills=kills)).detail
    assert "'cc1plus -O2 a.cc' and 2 more" in detail
    assert "probably" not in detail


def test_a_memory_kill_without_limit_peak_process_or_jobs_still_says_what_is_known() -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=None, memory_peak_bytes=None)
    kill = MemoryKill(process=None, inferred=False, limit_bytes=None, at_seconds=1.0)
    spec = change(sample().spec, build_jobs=1)
    for kills, who in (([], "a process"), ([kill], "a process that no sample saw")):
        explanation = explain(
            sample(
                outcome="memory_killed",
                totals=totals,
                memory_kills=kills,
                machine=_UNLIMITED,
                asked=msgspec.UNSET,
                spec=spec,
            )
        )
        assert "all memory of the machine" in explanation.detail
        assert explanation.detail.endswith(f"the kernel killed {who}.")
        assert len(explanation.advice) == 1


def test_a_build_that_survived_a_kill_is_no_plain_success() -> None:
    explanation = explain(sample(memory_kills=[_KILL]))
    assert (explanation.tone, explanation.headline) == (Tone.MIXED, "Built")
    assert "probably 'cc1plus -O2 a.cc'" in explanation.detail
    assert "at least 4 GiB" in explanation.advice[0]


@pytest.mark.parametrize(
    ("peak", "facts"),
    [
        (100 * MIB, ["20 %", "128 MiB"]),
        (240 * MIB, []),
        (1000 * MIB, []),
        (1900 * MIB, ["93 % of the limit", "2.25 GiB"]),
        (0, []),
        (None, []),
    ],
)
def test_a_good_build_says_when_its_size_was_wrong(peak: int | None, facts: list[str]) -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=peak)
    advice = "".join(explain(sample(totals=totals)).advice)
    assert bool(advice) == bool(facts)
    assert all(fact in advice for fact in facts)


def test_an_estimate_advises_no_size() -> None:
    totals = change(sample().totals, memory_working_set_peak_bytes=1, memory_is_estimate=True)
    assert explain(sample(totals=totals)).advice == ()


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (None, "no error that we recognize"),
        (FirstError(line=1847, text="x", phase="build"), "in the build phase, line 1,847 of build.log"),
        (FirstError(line=7, text="x"), "in line 7 of build.log"),
    ],
)
def test_a_failed_build_says_where_its_first_error_is(error: FirstError | None, fact: str) -> None:
    assert fact in explain(sample(outcome="build_failed", first_error=error)).detail


@pytest.mark.parametrize(
    ("peak", "asked", "sizes", "wanted"),
    [
        (5 * GIB, 4 * GIB, ["5 GiB", "4 GiB"], "10 GiB"),
        (1 * GIB, 4 * GIB, ["1 GiB", "4 GiB"], "8 GiB"),
        (3 * GIB, None, ["3 GiB"], ""),
        (None, None, [], ""),
    ],
)
def test_a_full_disk_names_use_and_what_to_ask_for(
    peak: int | None, asked: int | None, sizes: list[str], wanted: str
) -> None:
    totals = change(sample().totals, disk_peak_bytes=peak)
    explanation = explain(sample(outcome="disk_full", totals=totals, asked=Asked(disk_bytes=asked)))
    assert re.findall(r"\d+ GiB", explanation.detail) == sizes
    assert re.findall(r"\d+ GiB", explanation.advice[0]) == ([wanted] if wanted else [])


@pytest.mark.parametrize(
    ("full", "asked", "said", "advice"),
    [
        (FullDisk(use="temporary files", folder="/t", mount="/t", lacks="space", size_bytes=60 * MIB, free_bytes=0), None,
         "the file system at /t is full, 0 B of 60 MiB are free (temporary files)", ["128 MiB: TMPDIR"]),
        (FullDisk(use="stage folder", folder="/d/s", mount="/d", lacks="inodes", size_bytes=GIB, free_bytes=GIB // 2), None,
         "no inode is free (512 MiB of 1 GiB are free) (stage folder: /d/s)", ["more inodes: Spack's config:build_stage"]),
        (FullDisk(use="home folder", folder="/h", mount="/h", lacks="quota", size_bytes=99 * GIB, free_bytes=50 * GIB), None,
         "this user's quota is used up", ["or have the quota raised."]),
        (FullDisk(use="install tree", folder="/o", mount="/", lacks="space", size_bytes=99 * GIB, free_bytes=0), 4 * GIB,
         "0 B of 99 GiB", ["208 GiB: Spack's config:install_tree", "ask for more disk than 4 GiB: at least 8 GiB"]),
        (FullDisk(use="install tree", folder="/o", mount="/o", lacks="space", size_bytes=GIB, free_bytes=0), 4 * GIB,
         "0 B of 1 GiB", ["2 GiB: Spack's config:install_tree"]),
    ],
)  # fmt: skip
def test_the_advice_on_a_full_disk_comes_from_its_own_size(
    full: FullDisk, asked: int | None, said: str, advice: list[str]
) -> None:
    totals = change(sample().totals, disk_peak_bytes=9 * MIB)
    explanation = explain(sample(outcome="disk_full", totals=totals, asked=Asked(disk_bytes=asked), full_disk=full))
    assert said in explanation.detail
    assert "Its stage folder and prefix took up 9 MiB" in explanation.detail
    assert len(explanation.advice) == len(advice)
    assert all(part in line for part, line in zip(advice, explanation.advice, strict=True))
    assert explanation.advice[0].startswith(f"Make room at {full.mount}, or ")


@pytest.mark.parametrize(
    ("ended", "hash_", "said"),
    [
        (BuildProcess(exit_code=3), "", "The command ended with exit code 3."),
        (BuildProcess(exit_code=127), "", "The command ended with exit code 127."),
        (BuildProcess(exit_code=137), "", "The command ended with exit code 137, as a shell reports SIGKILL."),
        (BuildProcess(exit_code=255), "", "The command ended with exit code 255."),
        (BuildProcess(exit_code=None, signal="SIGKILL"), "", "The command was ended by SIGKILL."),
        (BuildProcess(exit_code=None, signal="SIGSEGV"), "a" * 32, "Spack was ended by SIGSEGV."),
        (BuildProcess(exit_code=1), "a" * 32, "The first error is"),
        (None, "", "The first error is"),
    ],
)
def test_a_failed_command_says_how_it_ended(ended: BuildProcess | None, hash_: str, said: str) -> None:
    failed = sample(
        outcome="build_failed",
        spec=change(sample().spec, hash=hash_),
        first_error=FirstError(line=7, text="x"),
        build_process=ended,
    )
    assert explain(failed).detail.startswith(said)
    assert explain(change(failed, first_error=None)).detail.startswith(said if said[4] != "f" else "The build ended with")


def test_a_timeout_tells_a_busy_build_from_one_that_hung() -> None:
    busy = change(sample().totals, wall_seconds=100.0, cpu_seconds=350.0)
    idle = change(sample().totals, wall_seconds=100.0, cpu_seconds=50.0)
    phases = [Phase(name="install", start_seconds=0.0, wall_seconds=100.0)]
    explanations = [explain(sample(outcome="timed_out", totals=totals, phases=phases)) for totals in (busy, idle)]
    assert all("after 1 min 40 s in its install phase" in explanation.detail for explanation in explanations)
    assert "4 cores busy" in explanations[0].advice[0]
    assert "the build hung" in explanations[1].advice[0]


@pytest.mark.parametrize(("code", "name"), [(143, " by SIGTERM"), (130, " by SIGINT"), (0, ""), (500, "")])
def test_an_interruption_names_its_signal(code: int, name: str) -> None:
    explanation = explain(sample(outcome="interrupted", exit_code=code))
    assert f"stopped{name} after 2 min 31 s" in explanation.detail


@pytest.mark.parametrize(
    ("last", "where"),
    [
        ("build", "in the build's build phase"),
        ("spack-start", "while Spack started"),
        ("spack-end", "when its package was installed"),
        ("command", "after 10.0 s."),
        ("", "after 10.0 s."),
    ],
)
def test_an_interruption_says_where_the_run_was(last: str, where: str) -> None:
    phases = [Phase(name=last, start_seconds=0.0, wall_seconds=10.0)] if last else []
    totals = change(sample().totals, wall_seconds=10.0)
    assert where in explain(sample(outcome="interrupted", exit_code=143, phases=phases, totals=totals)).detail


def test_a_quota_above_the_machine_keeps_no_build_from_being_busy() -> None:
    """`It kept its 8 cores busy` is never true on a machine with 2."""
    machine = Machine(cpus=2, memory_bytes=GIB, cpu_limit_cores=8.0)
    totals = change(sample().totals, wall_seconds=100.0, cpu_seconds=195.0)
    (advice,) = explain(sample(outcome="timed_out", machine=machine, totals=totals)).advice
    assert advice.startswith("It kept its 2 cores busy")


def test_an_unfinished_document_says_what_it_counts_as() -> None:
    explanation = explain(sample(complete=False, outcome="interrupted"))
    assert (explanation.tone, explanation.headline) == (Tone.OPEN, "Not finished")
    assert "last at 2025-11-24T09:16:33Z" in explanation.detail
    assert explanation.detail.endswith("the run counts as: Interrupted.")


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


@example(known=[-1, 0, 5])
@given(known=st.lists(st.one_of(st.none(), st.integers(-1, 100)), min_size=3, max_size=3))
def test_the_lowest_known_limit_holds(known: list[int | None]) -> None:
    kill = msgspec.structs.replace(_KILL, limit_bytes=known[2])
    machine = change(sample().machine, memory_limit_bytes=known[1])
    limits = read_limits(sample(asked=Asked(memory_limit_bytes=known[0]), machine=machine, memory_kills=[kill]))
    assert limits.memory_limit_bytes == min((limit for limit in known if limit and limit > 0), default=None)


def test_limits_outside_ci_are_the_machine_s() -> None:
    limits = read_limits(sample(asked=msgspec.UNSET, machine=_UNLIMITED))
    assert (limits.memory_asked_bytes, limits.memory_limit_bytes, limits.disk_asked_bytes) == (None, None, None)
    assert (limits.cores_asked, limits.cores, limits.has_cpu_limit) == (None, 8.0, False)


def test_limits_in_a_pod_are_what_it_was_given() -> None:
    limits = read_limits(sample())
    assert (limits.cores_asked, limits.cores, limits.has_cpu_limit) == (2.0, 4.0, True)
    assert (limits.memory_asked_bytes, limits.memory_limit_bytes) == (512 * MIB, 2 * GIB)
    assert limits.disk_asked_bytes == 4 * GIB


@pytest.mark.parametrize(
    ("may_pass", "advises_a_retry"), [([], True), ([True, False], True), ([False], False), ([False, False], False)]
)
def test_a_failed_fetch_advises_a_retry_only_where_one_may_help(may_pass: list[bool], advises_a_retry: bool) -> None:  # noqa: FBT001  a column
    faults = [FetchFault(url=f"http://host-{n}/x", reason="because", may_pass=each) for n, each in enumerate(may_pass)]
    found = explain(sample(outcome="fetch_failed", fetch_faults=faults))
    assert any("often passes" in line for line in found.advice) is advises_a_retry
    assert all(fault.url in found.detail for fault in faults)


def test_of_many_addresses_only_some_are_shown() -> None:
    faults = [FetchFault(url=f"http://host-{n}/x", reason="because", may_pass=True) for n in range(20)]
    detail = explain(sample(outcome="fetch_failed", fetch_faults=faults)).detail
    assert "host-2/x" in detail
    assert "host-3/x" not in detail
    assert "and 17 more" in detail


_BROKEN = FailedDependency(
    name="lib", version="1.0", hash="abcdefghij", outcome="build_failed", first_error=FirstError(line=3, text="a.c:1: bad")
)


@pytest.mark.parametrize(
    ("failed", "detail", "advice"),
    [
        ([], "It was not built: a dependency failed.", "Read the job log"),
        (
            [_BROKEN],
            "It was not built, since lib@1.0/abcdefg, which it needs, failed: it does not build (a.c:1: bad).",
            "Begin with lib@1.0/abcdefg",
        ),
        ([change(_BROKEN, outcome="memory_killed", first_error=None)], "failed: it was killed for memory.", "Begin with"),
        (
            [change(_BROKEN, outcome="missing")],
            "lib@1.0/abcdefg, which it needs, is not installed any more.",
            "Run it again",
        ),
        ([change(_BROKEN, outcome="from_the_future", first_error=None)], "failed: outcome from_the_future.", "Begin with"),
        ([_BROKEN] * 5, "; and 2 more.", "Begin with"),
        ([change(_BROKEN, first_error=FirstError(line=1, text="\x1b[31mx" * 999))], "xxx...).", "Begin with"),
    ],
)
def test_a_failed_dependency_is_named_with_what_happened_to_it(
    failed: list[FailedDependency], detail: str, advice: str
) -> None:
    known = sample(outcome="dependency_failed", failed_dependencies=failed, first_error=None)
    explanation = explain(known)
    assert detail in explanation.detail
    assert explanation.advice[0].startswith(advice)
    assert "\x1b" not in explanation.detail
