import itertools
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.counters import Counters
from executor.pod_agent import AGENT_LINES, end_marker
from executor.stream_state import (
    Acknowledge,
    Complaint,
    Exited,
    Fault,
    Following,
    NeedScript,
    Output,
    Position,
    Received,
    ScriptEnd,
    StreamState,
)

FOLDER = "build_script-0123"
MARKER = end_marker(FOLDER)
RESULT = b"counters before\nevents.oom_kill 1\ncounters after\nevents.oom_kill 2\nmemory.working_set_peak 99\nexit 7\n"
END = ScriptEnd(
    exit_code=7,
    before=Counters(memory_kills=1),
    after=Counters(memory_kills=2),
    working_set_peak_bytes=99,
    log_is_whole=True,
)
CUT_OFF = msgspec.structs.replace(END, log_is_whole=False)
O, L = "output", "lines"  # noqa: E741 (columns of a table)

CONVERSATIONS: dict[str, list[tuple[str, bytes, list[Received]]]] = {
    "a script, from its start to its end": [
        (L, b"need\n", [NeedScript()]),
        (L, b"following\n", [Following()]),
        (O, b"hello\n", [Output(b"hello\n")]),
        (L, RESULT, [Exited()]),
        (O, MARKER, [END]),
    ],
    "the log is whole before the exit code is known": [
        (O, b"hello\n" + MARKER, [Output(b"hello\n")]),
        (L, RESULT, [END]),
    ],
    "a line in two pieces": [
        (L, b"fol", []),
        (L, b"lowing\nne", [Following()]),
        (L, b"ed\n", [NeedScript()]),
    ],
    "a marker in two pieces": [
        (O, b"hello" + MARKER[:5], [Output(b"hello")]),
        (O, MARKER[5:] + b"late", []),
    ],
    "segments are acknowledged once their bytes are here": [
        (L, b"following\nsegment 0 4\nsegment 1 6\n", [Following()]),
        (O, b"1234", [Output(b"1234"), Acknowledge(1, 4)]),
        (O, b"567", [Output(b"567"), Acknowledge(2, 6)]),
    ],
    "the bytes of a segment before the line about it": [
        (L, b"following\n", [Following()]),
        (O, b"1234567", [Output(b"1234567")]),
        (L, b"segment 0 4\nsegment 1 6\n", [Acknowledge(2, 6)]),
    ],
    "an agent that does not follow yet reads no acknowledgment": [
        (L, b"segment 0 4\n", []),
        (O, b"1234", [Output(b"1234")]),
        (L, b"following\nsegment 1 5\n", [Following()]),
        (O, b"5", [Output(b"5"), Acknowledge(2, 5)]),
    ],
    "a container that cannot write the log any further": [
        (O, b"hello" + MARKER[:3], [Output(b"hello")]),
        (L, b"broken\n" + RESULT, [Output(MARKER[:3]), CUT_OFF]),
    ],
    "the image cannot run scripts": [(L, b"fault the image has no setsid\n", [Fault("the image has no setsid")])],
    "a shell complains": [(L, b"sh: cannot fork\n", [Complaint("sh: cannot fork")])],
    "the keeper of the script was killed": [(L, b"lost the process was killed\n", [Complaint("the process was killed")])],
    "neither a beat nor a counter is a complaint": [(L, b"beat\ncounters before\nevents.oom_kill 1\ncpu.max 4\n", [])],
    "an exit code that is none": [(L, b"exit many\nexit 1000\nexit \xd9\xa1\xc2\xb2\n", [])],
}


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_what_arrives_becomes_values(conversation: list[tuple[str, bytes, list[Received]]]) -> None:
    state = StreamState(FOLDER)
    for kind, content, expected in conversation:
        assert (state.take_output(content) if kind == O else state.take_lines(content)) == expected


@pytest.mark.parametrize("keyword", AGENT_LINES)
def test_no_keyword_of_the_table_is_taken_for_a_complaint(keyword: str) -> None:
    received = StreamState(FOLDER).take_lines(f"{keyword} x\n".encode())
    assert Complaint(f"{keyword} x") not in received
    assert bool(received) == (keyword in {"need", "following", "fault", "lost"})


def end_in(received: list[Received]) -> ScriptEnd | None:
    return next((one for one in received if isinstance(one, ScriptEnd)), None)


def output_in(received: list[Received]) -> bytes:
    return b"".join(one.content for one in received if isinstance(one, Output))


@given(st.binary(max_size=300), st.lists(st.integers(min_value=1, max_value=400), max_size=8), st.binary(max_size=20))
def test_however_the_stream_is_cut_the_log_comes_out_whole_and_stops_at_the_marker(
    log: bytes, cuts: list[int], late: bytes
) -> None:
    stream = log.replace(MARKER, b"") + MARKER + late
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    state = StreamState(FOLDER)
    out = b"".join(output_in(state.take_output(stream[begin:end])) for begin, end in itertools.pairwise(places))
    assert out == log.replace(MARKER, b"")
    assert state.position.received == len(stream)
    assert state.rest() == b""


@given(st.binary(max_size=100), st.integers(min_value=0, max_value=20))
def test_a_log_that_never_ends_keeps_nothing_back_for_good(log: bytes, part: int) -> None:
    state = StreamState(FOLDER)
    stream = log + MARKER[: min(part, len(MARKER) - 1)]
    assert output_in(state.take_output(stream)) + state.rest() == stream


def test_a_marker_without_an_exit_code_is_no_end() -> None:
    state = StreamState(FOLDER)
    state.take_output(MARKER)
    assert state.give_up_log() == []


def test_a_log_that_is_given_up_is_not_whole() -> None:
    state = StreamState(FOLDER)
    state.take_output(MARKER[:4])
    assert state.take_lines(RESULT) == [Exited()]
    assert state.give_up_log() == [Output(MARKER[:4]), CUT_OFF]


def test_a_new_connection_begins_where_the_last_one_broke_and_hears_the_result_again() -> None:
    state = StreamState(FOLDER)
    state.take_lines(b"segment 0 4\ncounters before\nevents.oom_kill 1\ncounters after\nevents.oom_kill 9\nexi")
    state.take_output(b"12345")
    state.new_connection()
    assert state.position == Position(segment=1, base=4, received=5)
    assert state.take_lines(RESULT) == [Exited()]
    assert state.take_output(MARKER) == [END]


def test_hostile_lines_are_harmless() -> None:
    """A script can write where the agent's lines go: to the descriptors of a process of its own user."""
    state = StreamState(FOLDER)
    huge = b"9" * 5000
    state.take_lines(b"segment x y\nexit many\ncounters elsewhere\n\xff\xfe\nexit \xd9\xa1\xc2\xb2\n" + b"x" * 200_000)
    state.take_lines(b"\nsegment %b 1\nexit %b\ncounters after\nevents.oom_kill %b\n" % (huge, huge, huge))
    assert state.give_up_log() == []


@pytest.mark.long
def test_what_is_kept_of_the_agents_lines_is_bounded() -> None:
    state = StreamState(FOLDER)
    tracemalloc.start()
    for _ in range(40):
        state.take_lines(b"x" * 100_000)
        state.take_lines(b"\ncounters after\n" + b"events.some 1\n" * 10_000 + b"a complaint\n" * 10_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    state.take_lines(b"\n" + RESULT)
    assert state.take_output(MARKER) == [END]
    assert kept < 1_000_000


def test_of_many_complaints_at_once_the_last_one_counts() -> None:
    assert StreamState(FOLDER).take_lines(b"one\ntwo\n" * 1000) == [Complaint("two")]


@pytest.mark.long
def test_segments_that_no_script_can_have_are_not_remembered() -> None:
    """The lines come from the job's own container, where anybody may write them."""
    state = StreamState(FOLDER)
    state.take_lines(b"following\n")
    tracemalloc.start()
    for begin in range(0, 100_000, 50_000):
        state.take_lines(b"".join(b"segment %d 1\n" % number for number in range(begin, begin + 50_000)))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4_000_000
    assert state.take_output(b"x") == [Output(b"x"), Acknowledge(10_000, 1)], "those that may come next count"


def test_numbers_beyond_any_counter_are_unknown() -> None:
    state = StreamState(FOLDER)
    state.take_lines(RESULT.replace(b"peak 99", b"peak " + b"9" * 400).replace(b"kill 2", b"kill " + b"9" * 400))
    end = end_in(state.take_output(MARKER))
    assert end is not None
    assert (end.working_set_peak_bytes, end.after.memory_kills) == (0, 0)
