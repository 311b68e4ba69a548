"""Clause: docs/reference/delegate-protocol.md: what a worker may rely on, step by step, and workers of other versions."""

import ast
import concurrent.futures
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from delegate import worker as worker_module
from delegate.inner_face import PROTOCOL
from tests.labs.checkout import ROOT
from tests.labs.delegate import (
    WORKER,
    Answer,
    Gateway,
    Hand,
    Program,
    RawClient,
    kill_group_of,
    running_gateway,
    running_worker,
)
from tests.labs.waiting import wait_until

SHELL_WORKER = ROOT / "tests/data/delegate/worker.sh"
PAGE = ROOT / "docs/reference/delegate-protocol.md"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"hold_seconds": 0.6, "lease_seconds": 1.2, "contact_seconds": 0.4, "headers": "content-type"}
    with running_gateway(tmp_path_factory.mktemp("protocol"), **settings) as made:
        yield made


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor() as made:
        yield made


def asked(
    gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor, body: bytes = b"body", **headers: str
) -> "tuple[Hand, concurrent.futures.Future[Answer]]":
    """Send a request and take it by hand."""
    hand = Hand(gateway)
    hand.next(hold=0)
    asking = pool.submit(gateway.run, body, "/v1/run?q=1", **headers)
    deadline = time.monotonic() + 30
    while hand.next().status != 200:
        assert time.monotonic() < deadline
    return hand, asking


def test_work_has_the_body_and_all_that_the_page_names(
    gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    hand = Hand(gateway)
    assert hand.next(hold=0).status == 204
    asking = pool.submit(gateway.run, b"body", "/v1/run?q=1", Content_Type="text/x", Delegate_Timeout="60")
    work = hand.next()
    said = {name: value for name, value in work.headers.items() if name.startswith(("delegate-", "asked-"))}
    assert work.body == b"body"
    assert 0 < float(said.pop("delegate-deadline")) <= 60
    assert len(said.pop("delegate-request-id")) == 32
    assert len(said.pop("delegate-digest")) == 64
    expected = {"protocol": str(PROTOCOL), "attempt": "1", "kind": "run", "query": "q=1"}
    assert said == {f"delegate-{name}": value for name, value in expected.items()} | {"asked-content-type": "text/x"}
    assert hand.tell("heartbeat") == 204
    assert hand.tell("response", b"answer", Answer_X_Own="1", Answer_Connection="close") == 204
    assert (asking.result().body, asking.result().headers["x-own"]) == (b"answer", "1")
    assert [hand.tell(what) for what in ("heartbeat", "response", "log")] == [410] * 3


@pytest.mark.parametrize(
    ("failure", "status"),
    [("refused", 422), ("unavailable", 503), ("unrunnable", 502), ("timed-out", 504)],
)
def test_a_failure_ends_the_request(
    gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor, failure: str, status: int
) -> None:
    hand, asking = asked(gateway, pool)
    assert hand.tell("error", b"x", Delegate_Failure="no such one") == 400
    assert hand.tell("error", "wörds".encode(), Delegate_Failure=failure) == 204
    assert (asking.result().status, asking.result().document["detail"]) == (status, "wörds")


def test_an_attempt_without_heartbeats_is_given_to_another_worker_and_may_no_longer_answer(
    gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    first, asking = asked(gateway, pool, b"lost")
    second = Hand(gateway, "second")
    while second.next().status != 200:
        pass
    assert second.attempt.endswith("/2")
    assert [first.tell(what) for what in ("heartbeat", "response", "log")] == [409] * 3
    assert first.tell("error", Delegate_Failure="refused") == 409
    assert second.tell("response", b"second") == 204
    assert asking.result().body == b"second"


def test_heartbeats_keep_an_attempt_beyond_its_lease(gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    hand, asking = asked(gateway, pool, b"kept")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert hand.tell("heartbeat") == 204
    assert hand.tell("response", b"late") == 204
    assert asking.result().body == b"late"


def test_an_answer_that_breaks_off_is_a_lost_attempt(gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    hand, asking = asked(gateway, pool, b"broken")
    with pytest.raises(OSError, match="timed out"):  # it says 100 bytes and sends 4
        hand.say(f"{hand.attempt}/response", b"half", seconds=0.5, Content_Length="100")
    again = Hand(gateway, "again")
    while again.next().status != 200:
        pass
    again.tell("response", b"whole")
    assert asking.result().body == b"whole"


def test_a_question_that_breaks_off_loses_no_request(gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    for _ in range(5):
        with pytest.raises(OSError, match="timed out"):
            Hand(gateway).say("/v1/next", b"", seconds=0.05)
    hand, asking = asked(gateway, pool, b"after them")
    assert hand.attempt.endswith("/1")
    hand.tell("response", b"x")
    assert asking.result().status == 200


def test_a_client_that_leaves_ends_a_held_heartbeat_at_once(gateway: Gateway) -> None:
    hand, client = Hand(gateway), RawClient(gateway.url)
    hand.next(hold=0)
    client.post(b"x")
    while hand.next().status != 200:
        pass
    with concurrent.futures.ThreadPoolExecutor() as pool:
        beating = pool.submit(hand.tell, "heartbeat")
        time.sleep(0.1)
        client.close()
        assert beating.result() in {204, 410}
    assert hand.tell("heartbeat") == 410


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Delegate-Worker": ""}, 400),
        ({"Delegate-Worker": "x" * 201}, 400),
        ({"Delegate-Worker": "w", "Delegate-Kinds": "later", "Delegate-Protocol": "2"}, 400),
        ({"Delegate-Worker": "w", "Delegate-Protocol": "0"}, 426),
        ({"Delegate-Worker": "w", "Delegate-Protocol": "-1"}, 426),
        ({"Delegate-Worker": "w", "Delegate-Protocol": "two"}, 426),
        ({"Delegate-Worker": "w", "Delegate-Protocol": "1", "Delegate-Kinds": "later"}, 204),
        ({"Delegate-Worker": "w", "Delegate-Protocol": "3", "Delegate-Kinds": "later, run"}, 204),
        ({"Delegate-Worker": "w", "Delegate-Hold": "soon"}, 204),
        ({"Delegate-Worker": "w", "Delegate-Hold": "-1"}, 204),
        ({"Delegate-Worker": "w", "Delegate-Hold": "inf"}, 204),
        ({"Delegate-Worker": "w", "Delegate-Hold": "nan"}, 204),
        ({"Delegate-Worker": "w", "Delegate-Later": "x"}, 204),
    ],
)
def test_questions_of_any_kind_are_answered(gateway: Gateway, headers: dict[str, str], status: int) -> None:
    hand = Hand(gateway)
    hand._headers = {}  # noqa: SLF001  what is sent is what is tested
    assert hand.say("/v1/next", b"", seconds=60, **headers).status == status


@pytest.mark.parametrize("path", ["/v1/requests/x/1/heartbeat", "/v1/requests/x/99999999999999999999/heartbeat"])
def test_a_request_that_never_was_has_no_attempts(gateway: Gateway, path: str) -> None:
    assert Hand(gateway).say(path).status == 410


@pytest.mark.parametrize(
    "data", [b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/next HTTP/1.1\r\n" + b"x" * 100_000]
)
def test_garbage_on_the_socket_harms_nobody(
    gateway: Gateway, pool: concurrent.futures.ThreadPoolExecutor, data: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(gateway.socket))
        made.settimeout(5)
        made.sendall(data)
        made.recv(100)
    hand, asking = asked(gateway, pool, data)
    hand.tell("response", b"fine")
    assert asking.result().body == b"fine"


@pytest.mark.parametrize("version", [PROTOCOL - 1, PROTOCOL + 1])
@pytest.mark.parametrize("options", [(), ("--fingerprint", "echo one")])
def test_workers_of_the_version_before_and_after_compute(tmp_path: Path, version: int, options: tuple[str, ...]) -> None:
    program = tmp_path / "worker.py"
    program.write_text(WORKER.read_text().replace(f"PROTOCOL = {PROTOCOL}\n", f"PROTOCOL = {version}\n"))
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "rev", program=program, options=options):
        answer = gateway.run(b"abc\n")
        if answer.status == 307:
            answer = gateway.run(b"abc\n", answer.headers["location"])
        assert answer.body == b"cba\n"


def test_two_workers_that_are_the_first_processes_of_their_containers_are_two(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("a process-id namespace needs root")
    inside: list[str | Path] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, WORKER]
    with running_gateway(tmp_path) as gateway:
        workers = [Program([*inside, "--socket", gateway.socket, "--", "cat"], tmp_path) for _ in range(2)]
        try:
            wait_until(lambda: gateway.metric("delegate_workers") == 2)
            assert gateway.run(b"x").body == b"x"
        finally:
            for worker in workers:
                worker.end()


def test_a_worker_that_is_too_old_ends_and_says_why(tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text(WORKER.read_text().replace(f"PROTOCOL = {PROTOCOL}\n", f"PROTOCOL = {PROTOCOL - 2}\n"))
    with (
        running_gateway(tmp_path) as gateway,
        running_worker(gateway, "true", "x", program=program, ready=False) as worker,
    ):
        assert worker.wait() == 2
        assert "update the worker" in worker.said


@pytest.fixture(scope="module")
def shell_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("shell")
    with running_gateway(folder) as gateway:
        command = 'read -r what rest; case $what in sleep) sleep 60 ;; exit) echo no >&2; exit "$rest" ;; esac; cat'
        worker = Program([SHELL_WORKER, gateway.socket, "sh", "-c", command], folder)
        gateway.until_ready()
        yield gateway
        kill_group_of(worker)


@pytest.mark.parametrize(("body", "status"), [(b"x\nanswer", 200), (b"exit 3", 422), (b"exit 137", 502)])
def test_the_worker_in_shell_computes(shell_gateway: Gateway, body: bytes, status: int) -> None:
    answer = shell_gateway.run(body + b"\n")
    assert answer.status == status
    if status == 200:
        assert (answer.body, answer.headers["content-type"]) == (b"answer\n", "text/plain")


def test_the_worker_in_shell_stops_what_nobody_waits_for(shell_gateway: Gateway) -> None:
    client = RawClient(shell_gateway.url)
    client.post(b"sleep\n")
    wait_until(lambda: shell_gateway.metric("delegate_running") == 1)
    time.sleep(0.3)
    client.close()
    began_at = time.monotonic()
    assert shell_gateway.run(b"x\nnext").body == b"next"
    assert time.monotonic() - began_at < 10


def test_the_page_has_the_shell_worker_and_it_has_at_most_30_lines() -> None:
    text = SHELL_WORKER.read_text()
    assert f"```sh\n{text}```" in PAGE.read_text()
    assert len(text.splitlines()) <= 30


def test_the_page_names_the_version_the_failures_and_the_kinds() -> None:
    text = PAGE.read_text()
    assert text.startswith(f"# The protocol between gateway and workers, version {PROTOCOL}\n")
    assert worker_module.PROTOCOL == PROTOCOL
    words = {"refused", "unavailable", "unrunnable", "timed-out", "crashed", "moved", "run", "result", "fingerprint"}
    assert [word for word in words if f"`{word}`" not in text and f"**{word}**" not in text] == []


def test_worker_py_is_for_python_3_6_and_the_standard_library_alone() -> None:
    """No older Python than 3.11 is at hand: `vermin` and the grammar of that version decide."""
    tree = ast.parse(WORKER.read_text(), feature_version=(3, 6))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    done = subprocess.run(
        [Path(sys.executable).with_name("vermin"), "--no-tips", "-t=3.6-", "--violations", WORKER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
