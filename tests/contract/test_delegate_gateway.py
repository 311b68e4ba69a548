"""Clause: docs/delegate.md: what clients may rely on of `spack-farm delegate`, with a gateway and workers as processes."""

import concurrent.futures
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from delegate.addresses import begin_digest, result_key
from tests.labs.checkout import ROOT
from tests.labs.delegate import Gateway, RawClient, running_gateway, running_worker
from tests.labs.waiting import is_alive, wait_until

COMMAND = r"""
read -r what rest; echo "$what was asked" >&2
case $what in
  answer)
    printf 'Content-Type: text/x-own\nX-Own: %s\nSet-Cookie: no\nnot a header\n' "$rest" > $DELEGATE_HEADERS_FILE
    cat; echo "$rest" ;;
  variables) env | grep ^DELEGATE | sort; pwd; ls -A ;;
  exit) exit $rest ;;
  kill) kill -$rest $$ ;;
  sleep) sleep $rest; echo slept ;;
  large) head -c $rest /dev/zero ;;
  daemon) sleep 300 & echo $! ;;
  escape) setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!; sleep 0.2 ;;
  replace) rm -f "../$rest"; mkfifo "../$rest" ;;
  expose) rm -f $DELEGATE_HEADERS_FILE; echo 'X-Own: secret' > secret; ln -s "$PWD/secret" $DELEGATE_HEADERS_FILE ;;
  count) for i in 1 2 3; do echo "line $i" >&2; sleep 0.1; done; echo counted ;;
esac
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("delegate")
    settings = {"body_bytes": 1 << 20, "answer_bytes": 1 << 20, "headers": "content-type x-mine", "body_seconds": 20}
    with running_gateway(folder, **settings) as made, running_worker(made, COMMAND):
        yield made


def test_an_answer_has_the_body_and_the_headers_that_the_command_gave_it(gateway: Gateway) -> None:
    answer = gateway.run(b"answer one\nrest\n")
    assert (answer.status, answer.body) == (200, b"rest\none\n")
    assert (answer.headers["content-type"], answer.headers["x-own"]) == ("text/x-own", "one")
    assert "set-cookie" not in answer.headers
    assert len(answer.headers["delegate-request-id"]) == 32


def test_the_command_sees_the_request_as_variables_in_a_folder_of_its_own(gateway: Gateway) -> None:
    answer = gateway.run(
        b"variables\n", "/v1/run?a=b%20c", Content_Type="text/x", X_Mine="y", X_Other="z", Delegate_Timeout="9"
    )
    seen = dict(line.split("=", 1) for line in answer.body.decode().splitlines() if "=" in line)
    assert (seen["DELEGATE_HEADER_CONTENT_TYPE"], seen["DELEGATE_HEADER_X_MINE"]) == ("text/x", "y")
    assert (seen["DELEGATE_QUERY"], seen["DELEGATE_ATTEMPT"]) == ("a=b%20c", "1")
    assert seen["DELEGATE_REQUEST_ID"] == answer.headers["delegate-request-id"]
    assert 0 < int(seen["DELEGATE_DEADLINE"]) <= 9
    assert "DELEGATE_HEADER_X_OTHER" not in seen
    assert answer.body.decode().splitlines()[-1].endswith("/work"), "the folder is empty"


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"exit 1", 422, "exit was asked"),
        (b"exit 64", 422, "exit was asked"),
        (b"exit 128", 422, "exit was asked"),
        (b"exit 255", 422, "exit was asked"),
        (b"exit 75", 503, "exit was asked"),
        (b"exit 126", 502, "exit was asked"),
        (b"exit 127", 502, "exit was asked"),
        (b"kill KILL", 502, "signal 9"),
        (b"exit 139", 502, "signal 11"),
        (b"large 1048577", 502, "larger than 1048576 bytes"),
    ],
)
def test_how_a_command_ends_is_what_the_client_reads(gateway: Gateway, body: bytes, status: int, detail: str) -> None:
    answer = gateway.run(body + b"\n")
    assert (answer.status, answer.document["status"]) == (status, status)
    assert detail in answer.document["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) is (status == 503)


def test_a_request_that_crashes_workers_is_tried_twice_and_then_refused_at_once(gateway: Gateway) -> None:
    before = gateway.metric("delegate_attempts_lost_total")
    assert gateway.run(b"kill SEGV\n").document["title"] == "computation crashed"
    assert gateway.metric("delegate_attempts_lost_total") == before + 1
    assert gateway.run(b"kill SEGV\n").document["title"] == "in quarantine"
    assert gateway.run(b"kill SEGV\n", Content_Type="x/y").document["title"] == "computation crashed"


def test_a_deadline_ends_the_computation_and_frees_the_worker(gateway: Gateway) -> None:
    began_at = time.monotonic()
    answer = gateway.run(b"sleep 60\n", Delegate_Timeout="0.5")
    assert (answer.status, answer.document["title"]) == (504, "deadline passed")
    assert gateway.run(b"answer x\n").status == 200
    assert time.monotonic() - began_at < 20


def test_a_deadline_that_passes_in_the_queue_starts_nothing(gateway: Gateway) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(gateway.run, b"sleep 2\n")
        wait_until(lambda: gateway.metric("delegate_running") == 1)
        answer = gateway.run(b"answer late\n", Delegate_Timeout="0.3")
        assert (answer.status, "nothing was computed" in answer.document["detail"]) == (504, True)
        assert first.result().body == b"slept\n"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", ""])
def test_a_bad_timeout_is_a_bad_request(gateway: Gateway, text: str) -> None:
    assert gateway.run(b"answer x\n", Delegate_Timeout=text).status == 400


def test_a_client_that_leaves_frees_the_worker_within_a_second(gateway: Gateway) -> None:
    client = RawClient(gateway.url)
    client.post(b"sleep 60\n")
    wait_until(lambda: gateway.metric("delegate_running") == 1)
    time.sleep(0.3)  # past the first heartbeat
    before = gateway.metric("delegate_cancellations_total")
    began_at = time.monotonic()
    client.close()
    assert gateway.run(b"answer x\n").status == 200
    assert time.monotonic() - began_at < 1.5, "one second, and a busy machine"
    assert gateway.metric("delegate_cancellations_total") == before + 1


def test_a_client_that_leaves_the_queue_gives_its_place_back(gateway: Gateway) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(gateway.run, b"sleep 1\n")
        wait_until(lambda: gateway.metric("delegate_running") == 1)
        client = RawClient(gateway.url)
        client.post(b"exit 3\n")
        wait_until(lambda: gateway.metric("delegate_waiting") == 1)
        client.close()
        wait_until(lambda: gateway.metric("delegate_waiting") == 0)
        assert first.result().status == 200


def test_what_a_command_leaves_running_ends_with_its_request(gateway: Gateway) -> None:
    daemon = int(gateway.run(b"daemon\n").body)
    wait_until(lambda: not Path(f"/proc/{daemon}/cmdline").exists() or not Path(f"/proc/{daemon}/cmdline").read_bytes())


def test_what_leaves_its_process_group_ends_with_its_request_too(gateway: Gateway) -> None:
    escaped = int(gateway.run(b"escape\n").body)
    wait_until(lambda: not is_alive(escaped))
    assert not Path(f"/proc/{escaped}").exists(), "it is reaped: a worker may be the first process of a container"


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_and_its_client_reads_that(gateway: Gateway, announced: bool) -> None:  # noqa: FBT001
    body = b"x" * ((1 << 20) + 1)
    if announced:
        assert gateway.run(body).status == 413
        return
    address = gateway.url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/v1/run", iter([body]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_sends_too_slowly_loses_its_place(tmp_path: Path) -> None:
    with running_gateway(tmp_path, body_seconds=0.5) as gateway, running_worker(gateway, "cat"):
        client = RawClient(gateway.url)
        client.post(b"begin", length=100)
        assert b" 408 " in client.read()
        client.close()
        assert gateway.metric("delegate_waiting") == 0


def test_an_asynchronous_request_is_computed_without_its_client(gateway: Gateway) -> None:
    accepted = gateway.run(b"count\n", Prefer="respond-async")
    place = accepted.headers["location"]
    assert (accepted.status, accepted.document["state"], place.startswith("/v1/requests/")) == (202, "waiting", True)
    wait_until(lambda: gateway.send("GET", place).status == 200)
    assert [gateway.send("GET", place).body for _ in range(2)] == [b"counted\n"] * 2
    assert gateway.send("DELETE", place).status == 204
    assert [gateway.send(method, place).status for method in ("GET", "DELETE")] == [404, 404]


@pytest.mark.parametrize(
    ("prefer", "status"),
    [("wait=9, Respond-Async", 202), ("respond-async; x=1", 202), ("respond-asynchronously", 200), ("x=respond-async", 200)],
)
def test_only_one_preference_asks_for_no_wait(gateway: Gateway, prefer: str, status: int) -> None:
    assert gateway.run(b"answer x\n", Prefer=prefer).status == status


@pytest.mark.parametrize(("body", "status"), [(b"replace headers\n", 200), (b"replace answer\n", 503), (b"expose\n", 200)])
def test_a_command_that_replaces_its_files_holds_no_worker_and_reads_no_other_file(
    gateway: Gateway, body: bytes, status: int
) -> None:
    answer = gateway.run(body)
    assert (answer.status, answer.headers.get("x-own")) == (status, None)
    assert gateway.run(b"answer x\n").status == 200


def test_an_asynchronous_request_can_be_cancelled(gateway: Gateway) -> None:
    place = gateway.run(b"sleep 60\n", Prefer="respond-async").headers["location"]
    wait_until(lambda: gateway.send("GET", place).document["state"] == "running")
    assert gateway.send("DELETE", place).status == 204
    assert gateway.run(b"answer x\n").status == 200


def test_a_log_is_followed_while_the_command_runs(gateway: Gateway) -> None:
    place = gateway.run(b"count\n", Prefer="respond-async").headers["location"]
    events = gateway.send("GET", f"{place}/log")
    assert events.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in events.body.decode().splitlines() if line.startswith("data: ")]
    assert lines == ["count was asked", "line 1", "line 2", "line 3", '{"ending": "answered"}']
    ids = [line.removeprefix("id: ") for line in events.body.decode().splitlines() if line.startswith("id: ")]
    again = gateway.send("GET", f"{place}/log", Last_Event_ID=ids[1])
    assert b"line 1" not in again.body
    assert b"line 2" in again.body


def test_a_slow_reader_holds_no_worker(gateway: Gateway) -> None:
    client = RawClient(gateway.url)
    client.post(b"large 1048576\n")
    assert client.read(10) == b"HTTP/1.1 2"
    assert [gateway.run(b"answer x\n").status for _ in range(3)] == [200] * 3
    client.close()


def test_the_queue_is_bounded_and_refuses_at_once(tmp_path: Path) -> None:
    with running_gateway(tmp_path, waiting_for_each_worker=2) as gateway, running_worker(gateway, "sleep 1; echo done"):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda number: gateway.run(b"%d" % number), range(12)))
        statuses = [answer.status for answer in answers]
        assert statuses.count(200) in {3, 4, 5}
        assert set(statuses) == {200, 429}
        assert {answer.headers.get("retry-after") for answer in answers if answer.status == 429} == {"1"}


def test_addresses_that_are_none_and_methods_that_do_not_fit_are_problems(gateway: Gateway) -> None:
    asked = [("GET", "/"), ("GET", "/v1/run"), ("PUT", "/v1/run"), ("POST", "/v1/results/x"), ("GET", "/v1/requests/x")]
    asked += [("POST", "/v1/run/")]
    answers = [gateway.send(method, path) for method, path in asked]
    assert [answer.status for answer in answers] == [404, 405, 405, 404, 404, 404]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


def test_each_request_is_one_line_of_the_access_log(gateway: Gateway) -> None:
    answer = gateway.run(b"answer logged\n", "/v1/run?secret=query")
    lines: list[dict[str, object]] = []

    def is_there() -> bool:
        lines[:] = [json.loads(line) for line in gateway.said.splitlines() if answer.headers["delegate-request-id"] in line]
        return bool(lines)

    wait_until(is_there)
    line = lines[0]
    assert (line["method"], line["path"], line["status"], line["bytes"]) == ("POST", "/v1/run", 200, 7)
    assert "secret" not in gateway.said


def test_tokens_are_asked_for_on_all_that_computes_and_may_change(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\nsecond\n")
    with running_gateway(tmp_path, token_file=tokens) as gateway, running_worker(gateway, "cat"):
        sent = [{}, {"Authorization": "Bearer third"}, {"Authorization": "Basic first"}, {"Authorization": "Bearer "}]
        refused = [gateway.run(b"x", **headers) for headers in sent]
        assert {(answer.status, answer.headers.get("www-authenticate")) for answer in refused} == {(401, "Bearer")}
        assert [gateway.run(b"x", Authorization=f"Bearer {each}").status for each in ("first", "second")] == [200, 200]
        tokens.write_text("third\n")
        assert [gateway.run(b"x", Authorization=f"Bearer {each}").status for each in ("third", "first")] == [200, 401]
        tokens.unlink()
        assert gateway.run(b"x", Authorization="Bearer third").status == 200
        assert [gateway.send("GET", path).status for path in ("/healthz", "/readyz", "/metrics", "/v1/token")] == [
            200
        ] * 3 + [401]


def fingerprinted(folder: Path) -> tuple[str, str]:
    """Return a command that reads a file and writes a line for each run, and the fingerprint of that file."""
    return f"echo >> {folder}/runs; cat {folder}/input -; [ ! -e {folder}/slow ] || sleep 1", f"cat {folder}/input"


def test_with_a_fingerprint_a_request_is_answered_in_two_steps(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("one\n")
    command, fingerprint = fingerprinted(tmp_path)
    with running_gateway(tmp_path) as gateway, running_worker(gateway, command, options=("--fingerprint", fingerprint)):
        moved = gateway.run(b"body\n", "/v1/run?q")
        digest = begin_digest({}, "q")
        digest.update(b"body\n")
        address = f"/v1/results/{result_key(digest.hexdigest(), 'one')}?q"
        assert (moved.status, moved.headers["location"]) == (307, address)
        result = gateway.run(b"body\n", address)
        assert (result.status, result.body) == (200, b"one\nbody\n")
        assert result.headers["cache-control"] == "public, max-age=31536000, immutable"

        assert gateway.run(b"other\n", address).status == 307, "an address is never answered with another result"
        (tmp_path / "input").write_text("two\n")
        changed = gateway.run(b"body\n", address)
        assert (changed.status, changed.headers["location"] != address) == (307, True)
        assert gateway.run(b"body\n", changed.headers["location"]).body == b"two\nbody\n"
        assert (tmp_path / "runs").read_text() == "\n\n", "what has moved is not computed"


def test_inputs_that_change_during_the_computation_move_the_result(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("one\n")
    (tmp_path / "slow").touch()
    command, fingerprint = fingerprinted(tmp_path)
    with running_gateway(tmp_path) as gateway, running_worker(gateway, command, options=("--fingerprint", fingerprint)):
        address = gateway.run(b"").headers["location"]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            computing = pool.submit(gateway.run, b"", address)
            wait_until((tmp_path / "runs").exists)
            (tmp_path / "input").write_text("two\n")
            assert (computing.result().status, computing.result().headers["location"] != address) == (307, True)


def test_a_fingerprint_is_had_while_something_else_is_computed(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("one\n")
    (tmp_path / "slow").touch()
    command, fingerprint = fingerprinted(tmp_path)
    with running_gateway(tmp_path) as gateway, running_worker(gateway, command, options=("--fingerprint", fingerprint)):
        address = gateway.run(b"").headers["location"]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            computing = pool.submit(gateway.run, b"", address)
            wait_until((tmp_path / "runs").exists)
            assert gateway.run(b"").status == 307
            assert not computing.done()
            assert computing.result().status == 200


@pytest.mark.parametrize(
    ("fingerprint", "status", "detail"),
    [("echo no >&2; exit 3", 422, "no"), ("true", 502, "one line"), ("yes | head -c 5000", 502, "one line")],
)
def test_a_fingerprint_that_is_none_is_no_address(tmp_path: Path, fingerprint: str, status: int, detail: str) -> None:
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "cat", options=("--fingerprint", fingerprint)):
        answer = gateway.run(b"")
        assert (answer.status, detail in answer.document["detail"]) == (status, True)


def test_many_equal_questions_for_a_fingerprint_become_few(tmp_path: Path) -> None:
    fingerprint = f"echo >> {tmp_path}/prints; sleep 0.3; echo one"
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "cat", options=("--fingerprint", fingerprint)):
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda _: gateway.run(b"equal"), range(30)))
        assert {(answer.status, answer.headers["location"]) for answer in answers} == {(307, answers[0].headers["location"])}
        assert len((tmp_path / "prints").read_text()) < 15


def call(gateway: Gateway, *options: str, given: bytes = b"answer x\n") -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "delegate", "call", gateway.url, *options]
    return subprocess.run(argv, cwd=ROOT, input=given, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("options", "given", "code", "words"),
    [
        ((), b"answer x\n", 0, b""),
        ((), b"exit 9\n", 1, b"exit was asked"),
        ((), b"exit 127\n", 4, b"answers 502"),
        (("--timeout", "2"), b"exit 75\n", 3, b"answers 503"),
        (("--timeout", "0.7"), b"sleep 9\n", 124, b"deadline passed"),
        (("--timeout", "0"), b"", 2, b"--timeout"),
        (("--timeout", "inf"), b"", 2, b"--timeout"),
        (("--header", "x"), b"", 2, b"is no header"),
        (("--header", "n\xe4me: x"), b"", 2, b"is no header"),
        (("--header", "Price: 3 \u20ac"), b"", 2, b"is no header"),
        (("--header", "prefer: respond-async"), b"", 2, b"leave it out"),
        (("--input", "/nowhere"), b"", 2, b"can't be read"),
        (("--output", "/nowhere/x"), b"answer x\n", 2, b"can't be written"),
        (("--token-file", "/nowhere"), b"", 2, b"can't be read"),
    ],
)
def test_call_has_an_exit_code_for_each_end(
    gateway: Gateway, options: tuple[str, ...], given: bytes, code: int, words: bytes
) -> None:
    done = call(gateway, *options, given=given)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.count(b"\n") == bool(code)
    assert done.stdout == (b"" if code else b"x\n")


def test_call_follows_a_result_and_writes_a_file_that_is_whole(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "cat", options=("--fingerprint", "echo one")):
        done = call(gateway, "--output", str(tmp_path / "answer"), given=b"x" * 100_000)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert (tmp_path / "answer").read_bytes() == b"x" * 100_000


def test_call_waits_for_a_worker_that_is_not_there_yet(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        assert gateway.run(b"").document["title"] == "no worker"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            calling = pool.submit(call, gateway, given=b"x")
            time.sleep(0.5)
            with running_worker(gateway, "cat"):
                assert calling.result().stdout == b"x"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_call_writes_to_what_is_there_and_puts_nothing_in_its_place(gateway: Gateway, tmp_path: Path, kind: str) -> None:
    there = tmp_path / "there"
    if kind == "pipe":
        os.mkfifo(there)
        reader = os.open(there, os.O_RDONLY | os.O_NONBLOCK)
        assert call(gateway, "--output", str(there)).returncode == 0
        assert (os.read(reader, 9), there.is_fifo()) == (b"x\n", True)
        os.close(reader)
    else:
        (tmp_path / "file").touch()
        there.symlink_to("file")
        assert call(gateway, "--output", str(there)).returncode == 0
        assert ((tmp_path / "file").read_bytes(), there.is_symlink()) == (b"x\n", True)


def test_call_says_when_its_output_has_no_room(gateway: Gateway) -> None:
    with Path("/dev/full").open("wb") as full:
        argv = [sys.executable, "-m", "delegate", "call", gateway.url]
        done = subprocess.run(argv, cwd=ROOT, input=b"answer x\n", stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"standard output can't be written: No space left" in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "http://",
        "x",
        "http://x:99999",
        "http://[::1",
        "http://u@x",
        "http://x/\xe4",
        "http://x/a b",
        "http://127.0.0.1:1",
    ],
)
def test_call_says_what_is_wrong_with_an_address(url: str) -> None:
    argv = [sys.executable, "-m", "delegate", "call", url]
    done = subprocess.run(argv, cwd=ROOT, input=b"", capture_output=True, check=False)
    assert done.returncode == (3 if url.endswith(".1:1") else 2)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--host", "0.0.0.0"), "give token_file"),
        (("--token-file", "/nowhere"), "can't be read"),
        (("--token-file", "/dev/null"), "is empty"),
        (("--socket", "/nowhere/x.sock"), "must exist and be writable"),
        (("--host", "203.0.113.1", "--token-file", "{token}"), "can't be listened on"),
        (("--port", "99999"), "ports end at 65535"),
        (("--config", "/nowhere"), "can't be read"),
        (("--socket", "{token}"), "a file that is not a socket has this path"),
        (("--config", "{config}"), "spool is /nowhere"),
    ],
)
def test_a_gateway_that_can_not_start_says_why_in_one_line(tmp_path: Path, options: tuple[str, ...], complaint: str) -> None:
    (tmp_path / "token").write_text("x")
    argv = [sys.executable, "-m", "delegate", "gateway", "--socket", f"{tmp_path}/s", "--port", "0"]
    (tmp_path / "config").write_text('spool = "/nowhere"')
    argv += [each.format(token=tmp_path / "token", config=tmp_path / "config") for each in options]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert (tmp_path / "token").read_text() == "x"
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--socket", ""), "--socket is ''"),
        (("--socket", "x" * 108), "1 to 107 bytes"),
        (("--folder", "/nowhere"), "is no folder"),
        (("--linger", "nan"), "give a number from 0"),
    ],
)
def test_a_worker_that_can_not_work_says_so_at_once(options: tuple[str, ...], complaint: str) -> None:
    argv = [sys.executable, "-m", "delegate.worker", "--socket", "x", *options, "--", "cat"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr


def test_two_gateways_do_not_share_a_socket_and_a_dead_ones_is_taken_over(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        argv = [sys.executable, "-m", "delegate", "gateway", "--socket", str(gateway.socket), "--port", "0"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, "another gateway serves" in done.stderr) == (2, True)
    assert gateway.socket.exists()
    with running_gateway(tmp_path) as second, running_worker(second, "cat"):
        assert second.run(b"x").body == b"x"
