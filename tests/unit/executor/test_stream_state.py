import itertools
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from executor.pod_agent import end_marker
from executor.stream_state import Following

FOLDER = "build_script-0123"
MARKER = end_marker(FOLDER)
RESULT = b"counters before\nevents.oom_kill 1\ncounters after\nevents.oom_kill 2\nmemory.working_set_peak 99\nexit 7\n"


@given(st.binary(max_size=300), st.lists(st.integers(min_value=1, max_value=400), max_size=8), st.binary(max_size=20))
def test_however_the_stream_is_cut_the_log_comes_out_whole_and_stops_at_the_marker(
    log: bytes, cuts: list[int], late: bytes
) -> None:
    stream = log.replace(MARKER, b"") + MARKER + late
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    following = Following(FOLDER)
    out = b"".join(following.output(stream[begin:end]) for begin, end in itertools.pairwise(places))
    assert out == log.replace(MARKER, b"")
    assert following.marker_seen
    assert following.received == len(stream)
    assert following.rest() == b""


@given(st.binary(max_size=100), st.integers(min_value=0, max_value=20))
def test_a_log_that_never_ends_keeps_nothing_back_for_good(log: bytes, part: int) -> None:
    following = Following(FOLDER)
    stream = log + MARKER[: min(part, len(MARKER) - 1)]
    assert following.output(stream) + following.rest() == stream


def test_the_end_needs_both_the_exit_code_and_the_marker() -> None:
    following = Following(FOLDER)
    following.told(RESULT[:30])
    following.told(RESULT[30:])
    assert following.ended() is None
    following.output(b"last words" + MARKER)
    end = following.ended()
    assert end is not None
    assert (end.exit_code, end.after.memory_kills - end.before.memory_kills, end.working_set_peak_bytes) == (7, 1, 99)
    assert end.log_is_whole


def test_a_marker_without_an_exit_code_is_no_end() -> None:
    following = Following(FOLDER)
    following.output(MARKER)
    assert following.ended(give_up_log=True) is None


def test_a_log_that_is_given_up_is_not_whole() -> None:
    following = Following(FOLDER)
    following.told(RESULT)
    end = following.ended(give_up_log=True)
    assert end is not None
    assert not end.log_is_whole


def test_a_result_that_was_half_told_before_a_cut_is_told_again() -> None:
    following = Following(FOLDER)
    following.told(b"counters before\nevents.oom_kill 1\ncounters after\nevents.oom_kill 9\nexi")
    following.new_connection()
    following.told(RESULT)
    following.output(MARKER)
    end = following.ended()
    assert end is not None
    assert end.after.memory_kills == 2


def test_segments_are_acknowledged_once_their_bytes_are_here() -> None:
    following = Following(FOLDER)
    following.told(b"segment 0 4\nsegment 1 6\n")
    assert following.acknowledged() is None
    following.output(b"1234")
    assert following.acknowledged() == (1, 4)
    assert following.acknowledged() is None
    following.output(b"567")
    assert following.acknowledged() == (2, 6)
    assert (following.segment, following.base, following.received) == (2, 6, 7)


def test_hostile_lines_are_harmless() -> None:
    """A script can write where the agent's lines go: to the descriptors of a process of its own user."""
    following = Following(FOLDER)
    huge = b"9" * 5000
    following.told(b"segment x y\nexit many\ncounters elsewhere\n\xff\xfe\nexit \xd9\xa1\xc2\xb2\n" + b"x" * 200_000)
    following.told(b"\nsegment %b 1\nexit %b\ncounters after\nevents.oom_kill %b\n" % (huge, huge, huge))
    assert following.ended(give_up_log=True) is None


def test_what_is_kept_of_the_agents_lines_is_bounded() -> None:
    following = Following(FOLDER)
    tracemalloc.start()
    for _ in range(40):
        following.told(b"x" * 100_000)
        following.told(b"\nevents.some 1" * 10_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    following.told(b"\n" + RESULT)
    following.output(MARKER)
    end = following.ended()
    assert end is not None
    assert end.after.memory_kills == 2
    assert kept < 1_000_000


def test_segments_that_no_script_can_have_are_not_remembered() -> None:
    """The lines come from the job's own container, where anybody may write them."""
    following = Following(FOLDER)
    tracemalloc.start()
    for begin in range(0, 100_000, 50_000):
        following.told(b"".join(b"segment %d 1\n" % number for number in range(begin, begin + 50_000)))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4_000_000
    following.output(b"x")
    assert following.acknowledged() == (10_000, 1), "those that may come next count"


def test_numbers_beyond_any_counter_are_unknown() -> None:
    following = Following(FOLDER)
    following.told(RESULT.replace(b"peak 99", b"peak " + b"9" * 400).replace(b"kill 2", b"kill " + b"9" * 400))
    following.output(MARKER)
    end = following.ended()
    assert end is not None
    assert (end.working_set_peak_bytes, end.after.memory_kills) == (0, 0)
