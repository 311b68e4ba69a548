"""The fake coordinator's jobs: traces with gaps, final states, cancels."""

import zlib

import pytest

from tests.fakes.coordinator.jobs import Queue, TraceGap, Update
from tests.fakes.coordinator.multipart import file_of


def test_each_job_is_handed_out_once_with_a_token_of_its_own() -> None:
    queue = Queue()
    first, second = queue.add({"steps": []}), queue.add({"steps": []})
    assert first.payload["token"] != second.payload["token"]
    assert (queue.take(), queue.take(), queue.take()) == (first, second, None)


def test_a_trace_that_comes_with_a_gap_is_asked_for_again() -> None:
    job = Queue().add({})
    assert job.write(0, b"0123456789") == 10
    job.lose_trace_after(4)
    with pytest.raises(TraceGap) as told:
        job.write(10, b"abc")
    assert told.value.there == 4
    assert job.write(4, b"456789abc") == 13
    assert (job.trace, job.gaps) == (b"0123456789abc", 1)


def test_what_comes_twice_is_there_once() -> None:
    job = Queue().add({})
    job.write(0, b"abcdef")
    job.write(3, b"DEF")
    assert job.trace == b"abcDEF"


def test_the_first_final_state_wins_and_planned_answers_come_before_it() -> None:
    job = Queue().add({})
    job.put_answers = [202, 412]
    end = Update("failed", "script_failure", 3)
    assert [job.update(Update("running")), job.update(end), job.update(end), job.update(end)] == [200, 202, 412, 200]
    job.update(Update("success"))
    assert job.wait(seconds=0) == end
    assert job.status == "failed"


def test_a_trace_is_whole_if_length_and_checksum_say_so() -> None:
    job = Queue().add({})
    job.write(0, b"log")
    job.update(Update("success", trace_bytes=3, trace_checksum=f"crc32:{zlib.crc32(b'log'):08x}"))
    assert job.trace_is_whole()
    job.write(0, b"lag")
    assert not job.trace_is_whole()


def test_a_watcher_is_called_once_when_its_text_is_there() -> None:
    job, seen = Queue().add({}), []
    job.when("ready", lambda: seen.append(1))
    job.write(0, b"rea")
    assert not seen
    job.write(3, b"dy")
    job.write(5, b"ready")
    assert seen == [1]


def test_a_job_that_does_not_end_shows_its_log() -> None:
    job = Queue().add({})
    job.write(0, b"so far")
    with pytest.raises(TimeoutError, match="so far"):
        job.wait(seconds=0)


def test_the_file_of_an_upload_comes_byte_for_byte() -> None:
    content = b"PK\r\n--x\r\n\r\n\x00--"
    body = b'--x1\r\nContent-Disposition: form-data; name="other"\r\n\r\n1\r\n' + (
        b'--x1\r\nContent-Disposition: form-data; name="file"; filename="artifacts.zip"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--x1--\r\n"
    )
    assert file_of("multipart/form-data; boundary=x1", body) == ("artifacts.zip", content)
    with pytest.raises(ValueError, match="no part called `file`"):
        file_of("multipart/form-data; boundary=x1", body.replace(b'"file"', b'"fine"'))
    with pytest.raises(ValueError, match="no multipart"):
        file_of("text/plain", body)
