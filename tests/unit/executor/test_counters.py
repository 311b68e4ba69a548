from executor.counters import Counters, parse_counters


def test_a_reading_of_cgroup_v2_is_understood() -> None:
    lines = ["events.oom 3", "events.oom_kill 2", "events.oom_group_kill 0", "memory.current 900", "memory.peak 1000"]
    lines += ["memory.max 2000", "cpu.max 150000", "cpu.usage_usec 2500000", "memory.inactive_file 100"]
    assert parse_counters(lines) == Counters(
        memory_kills=2, memory_bytes=900, inactive_file_bytes=100, peak_bytes=1000, limit_bytes=2000, cpu_seconds=2.5
    )


def test_a_reading_of_cgroup_v1_is_understood() -> None:
    lines = ["events.oom_kill 1", "memory.current 900", "memory.max 9223372036854771712", "cpu.usage_nsec 2500000000"]
    reading = parse_counters(lines)
    assert (reading.memory_kills, reading.limit_bytes, reading.cpu_seconds) == (1, None, 2.5)


def test_what_is_not_understood_is_unknown() -> None:
    assert parse_counters(["memory.max max", "memory.peak", "events.oom_kill -1", "", "cpu.usage_usec 1.5"]) == Counters()


def test_a_working_set_is_never_negative() -> None:
    assert Counters(memory_bytes=5, inactive_file_bytes=9).working_set_bytes == 0


def test_a_kill_of_a_whole_group_counts_each_process_once() -> None:
    assert parse_counters(["events.oom_kill 3", "events.oom_group_kill 1"]).memory_kills == 3


def test_more_memory_than_any_node_has_is_unknown() -> None:
    lines = ["memory.current 9223372036854771712", "memory.peak 18446744073709551615", "memory.max 1125899906842624"]
    assert parse_counters(lines) == Counters()
