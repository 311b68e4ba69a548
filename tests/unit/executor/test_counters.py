from executor.attempt import Attempt
from executor.counters import Counters, parse_counters
from executor.sizes import Size
from executor.stream_state import ScriptEnd
from executor.usage import used_line

GIB = 1 << 30


def test_a_reading_of_cgroup_v2_is_understood() -> None:
    lines = ["events.oom 3", "events.oom_kill 2", "events.oom_group_kill 0", "memory.current 900", "memory.peak 1000"]
    lines += ["memory.max 2000", "cpu.max 150000", "cpu.usage_usec 2500000", "memory.inactive_file 100"]
    assert parse_counters(lines) == Counters(
        memory_kills=2, memory_bytes=900, inactive_file_bytes=100, peak_bytes=1000, limit_bytes=2000, cpu_seconds=2.5
    )


def test_a_reading_of_cgroup_v1_is_understood() -> None:
    lines = ["events.oom_kill 1", "memory.current 900", "memory.max 9223372036854771712", "cpu.usage_nsec 2500000000"]
    told = parse_counters(lines)
    assert (told.memory_kills, told.limit_bytes, told.cpu_seconds) == (1, None, 2.5)


def test_what_is_not_understood_is_unknown() -> None:
    assert parse_counters(["memory.max max", "memory.peak", "events.oom_kill -1", "", "cpu.usage_usec 1.5"]) == Counters()


def test_a_working_set_is_never_negative() -> None:
    assert Counters(memory_bytes=5, inactive_file_bytes=9).working_set_bytes == 0


def ended(*, after: Counters, before: Counters | None = None, peak_bytes: int = 0) -> ScriptEnd:
    return ScriptEnd(
        exit_code=0, before=before or Counters(), after=after, working_set_peak_bytes=peak_bytes, log_is_whole=True
    )


def test_the_line_of_figures_tells_what_was_used_of_what() -> None:
    end = ended(
        before=Counters(cpu_seconds=100), after=Counters(cpu_seconds=8464, limit_bytes=12 * GIB), peak_bytes=int(11.8 * GIB)
    )
    attempt = Attempt(pod="p", namespace="n", size=Size(cpu_limit_millicores=4000))
    told = used_line(end, attempt, wall_seconds=2460)
    assert told == "used 11.8 of 12.0 GiB (working set), 3.4 of 4 cores, 41 min"


def test_without_limits_the_line_tells_only_what_was_used() -> None:
    end = ended(after=Counters(memory_bytes=64 << 20, cpu_seconds=3.0))
    told = used_line(end, Attempt(pod="p", namespace="n"), wall_seconds=2)
    assert told == "used 64 MiB (working set), 1.5 cores, 2 s"


def test_without_counters_the_line_is_the_time() -> None:
    assert used_line(ended(after=Counters()), Attempt(pod="p", namespace="n"), wall_seconds=3) == "used 3 s"


def test_two_units_are_both_told() -> None:
    end = ended(after=Counters(memory_bytes=64 << 20, limit_bytes=2 * GIB))
    assert used_line(end, Attempt(pod="p", namespace="n"), wall_seconds=3) == "used 64 MiB of 2.0 GiB (working set), 3 s"
