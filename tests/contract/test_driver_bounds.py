"""Clause: architecture, section 7: everything read from outside is bounded in size and checked.

The API server here is hostile or broken: it announces more than any memory has, and goes on sending for as long as it is
read. What is gathered of it is measured.
"""

import contextlib
import itertools
import json
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesParser

import pytest

from executor import errors
from executor.attempt_history import AttemptHistory, Earlier
from executor.credentials import Credentials
from executor.exec_stream import ExecStream, capture, exit_code_of
from executor.kube import Api, pods_path
from executor.log import Log
from tests.fakes.kube.server import FakeCluster
from tests.fakes.kube.streams import Stream
from tests.labs.backends.lab import ContractLab

MIB = 1 << 20
ENDLESS = 1 << 40
BLOCK = b"x" * 65536
MOST = 48 * MIB
"""What a call may gather: several times the driver's own bounds, and a small part of what the server sends if it can."""
SENT = 400 * MIB

Answer = Callable[[socket.socket, Message], None]


class HostileServer:
    """Answers every connection in its own way, then closes it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.requests: list[Message] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._one, args=(self._server.accept()[0],), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError):
            reader.readline()
            lines = iter(reader.readline, b"\r\n")
            headers = BytesParser().parsebytes(b"".join(lines))
            self.requests.append(headers)
            self._answer(connection, headers)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


@pytest.fixture
def api_of() -> Iterator[Callable[[Answer], Api]]:
    """Yield a function that makes an API whose server answers in a given way."""
    servers: list[HostileServer] = []
    made: list[Api] = []

    def make(answer: Answer) -> Api:
        servers.append(HostileServer(answer))
        made.append(Api(Credentials(server=servers[-1].url, token="a-token")))
        return made[-1]

    yield make
    for api in made:
        api.close()
    for server in servers:
        server.close()


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fail if more memory is held at any time within than a call may gather."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST


def send_much(connection: socket.socket, block: bytes = BLOCK) -> None:
    for _ in range(SENT // len(block)):
        connection.sendall(block)


def by_length(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS)
    send_much(connection)


def by_chunks(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    send_much(connection, b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK))


def by_one_chunk(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % ENDLESS)
    send_much(connection)


def until_closed(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    send_much(connection)


def in_an_error(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % ENDLESS)
    send_much(connection)


def in_a_header(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    send_much(connection)


def in_many_headers(connection: socket.socket, headers: Message) -> None:
    del headers
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    send_much(connection, b"X-Many: yes\r\n" * 5000)


BODIES = [by_length, by_chunks, by_one_chunk, until_closed, in_an_error]
HEADS = [in_a_header, in_many_headers]


@pytest.mark.parametrize("answer", BODIES)
def test_an_answer_without_end_is_not_gathered(api_of: Callable[[Answer], Api], answer: Answer) -> None:
    api = api_of(answer)
    with bounded(), pytest.raises(errors.Garbled, match="larger than 8 MiB"):
        api.call("GET", pods_path("default", "p"))


@pytest.mark.parametrize("answer", BODIES)
def test_a_watch_without_a_line_is_not_gathered(api_of: Callable[[Answer], Api], answer: Answer) -> None:
    api = api_of(answer)
    with bounded(), pytest.raises(errors.Garbled, match="larger than 8 MiB"):
        next(api.watch(pods_path("default"), {}, timeout_seconds=30))


@pytest.mark.parametrize("answer", HEADS)
def test_headers_without_end_are_not_gathered(api_of: Callable[[Answer], Api], answer: Answer) -> None:
    api = api_of(answer)
    with bounded(), pytest.raises(errors.Unavailable):
        api.call("GET", pods_path("default", "p"))
    with bounded(), pytest.raises(errors.Unavailable):
        next(api.watch(pods_path("default"), {}, timeout_seconds=30))


def text_of(content: bytes) -> Answer:
    """Return an answer of a body, which ends with the connection."""

    def answer(connection: socket.socket, headers: Message) -> None:
        del headers
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + content)

    return answer


DEEP = b'{"a":' * 200_000


@pytest.mark.parametrize("content", [DEEP, b"[" * 200_000, b"{", b"\xff\xfe", b"<html>"], ids=range(5))
def test_what_is_no_json_may_pass(api_of: Callable[[Answer], Api], content: bytes) -> None:
    """A proxy's own page, for one."""
    with pytest.raises(errors.Unavailable, match="is not JSON"):
        api_of(text_of(content)).call("GET", pods_path("default", "p"))
    with pytest.raises(errors.Unavailable, match="is not JSON"):
        next(api_of(text_of(content + b"\n")).watch(pods_path("default"), {}, timeout_seconds=30))


@pytest.mark.parametrize("told", [None, "x", 7, [], {}, {"code": "x"}, {"code": [500]}])
def test_an_error_in_a_watch_that_says_nothing_may_pass(api_of: Callable[[Answer], Api], told: object) -> None:
    line = json.dumps({"type": "ERROR", "object": told}).encode() + b"\n"
    with pytest.raises(errors.Unavailable):
        next(api_of(text_of(line)).watch(pods_path("default"), {}, timeout_seconds=30))


def test_the_servers_words_are_passed_on_up_to_a_length(api_of: Callable[[Answer], Api]) -> None:
    status = json.dumps({"message": "no " * 100_000, "reason": "Forbidden"}).encode()

    def answer(connection: socket.socket, headers: Message) -> None:
        del headers
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(status), status))

    with pytest.raises(errors.Forbidden) as raised:
        api_of(answer).call("GET", pods_path("default", "p"))
    assert "no no no" in str(raised.value)
    assert len(str(raised.value)) < 2500


def stream_of(parts: Callable[[], Iterator[bytes]]) -> Answer:
    """Return an answer that accepts an exec stream and sends bytes of frames."""

    def answer(connection: socket.socket, headers: Message) -> None:
        Stream(connection, None, budget=None).accept(headers)
        for part in parts():
            connection.sendall(part)

    return answer


def huge_frame() -> Iterator[bytes]:
    yield b"\x82\x7f" + struct.pack("!Q", ENDLESS) + b"\x01"
    yield from itertools.repeat(BLOCK, SENT // len(BLOCK))


def endless_message() -> Iterator[bytes]:
    """Fragments that never end, each of a sane length."""
    part = b"\x7f" + struct.pack("!Q", len(BLOCK)) + BLOCK
    yield b"\x02" + part
    yield from itertools.repeat(b"\x00" + part, SENT // len(part))


def endless_message_with_pings() -> Iterator[bytes]:
    for part in endless_message():
        yield part
        yield b"\x89\x00"


STREAMS = [huge_frame, endless_message, endless_message_with_pings]


@pytest.mark.parametrize("parts", STREAMS)
def test_a_message_without_end_is_not_gathered(
    api_of: Callable[[Answer], Api], parts: Callable[[], Iterator[bytes]]
) -> None:
    api = api_of(stream_of(parts))
    with (
        bounded(),
        ExecStream(api, "default", "p", "build", ["true"]) as channel,
        pytest.raises(errors.Garbled, match="more than 4096 KiB came in one message"),
    ):
        capture(channel, timeout_seconds=30)


def many_messages() -> Iterator[bytes]:
    yield from itertools.repeat(b"\x82\x7f" + struct.pack("!Q", len(BLOCK)) + b"\x01" + BLOCK[1:], 40 * MIB // len(BLOCK))
    status = json.dumps({"status": "Success"}).encode()
    yield bytes([0x82, len(status) + 1]) + b"\x03" + status


def test_a_commands_output_is_kept_up_to_a_length_and_its_end_still_seen(api_of: Callable[[Answer], Api]) -> None:
    api = api_of(stream_of(many_messages))
    with bounded(), ExecStream(api, "default", "p", "build", ["true"]) as channel:
        out, complaint, code = capture(channel, timeout_seconds=30)
    assert MIB <= len(out) <= MIB + len(BLOCK)
    assert (complaint, code) == (b"", 0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(by_length, errors.ClusterError), (in_an_error, errors.Garbled), (in_a_header, errors.Garbled),
     (in_many_headers, errors.Garbled)],
)  # fmt: skip
def test_a_refused_exec_is_not_gathered(
    api_of: Callable[[Answer], Api], answer: Answer, kind: type[errors.ClusterError]
) -> None:
    api = api_of(answer)
    with bounded(), pytest.raises(kind):
        ExecStream(api, "default", "p", "build", ["true"])


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirection_takes_the_token_nowhere(api_of: Callable[[Answer], Api], code: int) -> None:
    elsewhere = HostileServer(until_closed)

    def answer(connection: socket.socket, headers: Message) -> None:
        del headers
        place = elsewhere.url.replace("http", "ws").encode()
        connection.sendall(b"HTTP/1.1 %d Found\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n" % (code, place))

    api = api_of(answer)
    for do in (
        lambda: ExecStream(api, "default", "p", "build", ["true"]),
        lambda: api.call("GET", pods_path("default", "p")),
        lambda: next(api.watch(pods_path("default"), {}, timeout_seconds=30)),
    ):
        with pytest.raises(errors.ClusterError):
            do()
    elsewhere.close()
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "status",
    [b"", b"{", b"[]", b"7", DEEP, b'{"status": 7}', b'{"details": []}', b'{"details": {"causes": [7]}}',
     b'{"details": {"causes": [{"reason": "ExitCode", "message": "seven"}]}}',
     b'{"details": {"causes": [{"reason": "ExitCode", "message": "%s"}]}}' % (b"9" * 5000)],
    ids=range(10),
)  # fmt: skip
def test_a_status_that_is_none_is_no_exit_code(status: bytes) -> None:
    with pytest.raises(errors.Unavailable):
        exit_code_of(status)


def test_a_job_whose_stream_is_garbled_ends_as_a_system_failure(lab: ContractLab, cluster: FakeCluster) -> None:
    """Trying again for hours would be of no use, and it is not the script's failure."""
    runner = lab.runner()

    def garble() -> None:
        cluster.faults.exec_bytes = huge_frame
        cluster.cut_streams()

    runner.when("\nbegun\n", garble)
    outcome = runner.run(lab.job(["echo begun; sleep 100"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "again and again: more than 4096 KiB came in one message" in outcome.text


def recalled(api: Api, *, now: float = 100) -> Earlier:
    history = AttemptHistory(api=api, namespace="default", name="memory-1", keep_seconds=1, job_log=Log(1))
    return history.read(now=now)


def test_a_record_of_an_earlier_attempt_is_read_until_its_time_is_over(api_of: Callable[[Answer], Api]) -> None:
    record = {"data": {"version": "1", "until": "200", "memory_limit_bytes": "67108864"}}
    api = api_of(text_of(json.dumps(record).encode()))
    assert recalled(api) == Earlier(memory_limit_bytes=64 << 20)
    assert recalled(api, now=201) == Earlier(attempts=0)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"data": None},
        {"data": "x"},
        {"data": {"until": 200, "memory_limit_bytes": "1"}},
        {"data": {"until": "9" * 5000, "memory_limit_bytes": "1"}},
        {"data": {"until": "200", "memory_limit_bytes": "9" * 5000, "waited_seconds": "-1", "waited_job_id": "٣"}},
    ],
    ids=range(6),
)
def test_what_is_no_record_is_as_if_there_were_none(api_of: Callable[[Answer], Api], document: object) -> None:
    """Others in the namespace may write it."""
    assert recalled(api_of(text_of(json.dumps(document).encode()))) == Earlier()
