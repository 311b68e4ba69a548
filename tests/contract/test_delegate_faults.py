"""Clause: docs/faults.md, "Delegating": kills at each step, full disks, a socket that is gone, draining; real processes."""

import concurrent.futures
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.delegate import Answer, Nginx, RawClient, free_port, running_gateway, running_nginx, running_worker
from tests.labs.waiting import is_alive, wait_until

SOON = {"hold_seconds": 0.6, "lease_seconds": 1.2, "contact_seconds": 0.4}


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor() as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.getuid():
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_worker_killed_while_it_computes_is_replaced_by_another(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    command = f"echo $$ >> {tmp_path}/started; sleep 1; echo done"
    with running_gateway(tmp_path, **SOON) as gateway:
        with running_worker(gateway, command) as first:
            asking = pool.submit(gateway.run, b"x")
            wait_until((tmp_path / "started").exists)
            time.sleep(0.3)
            first.signal(signal.SIGKILL)
            began_at = time.monotonic()
            with running_worker(gateway, command, ready=False):
                assert asking.result().body == b"done\n"
                assert time.monotonic() - began_at < 20
        assert len((tmp_path / "started").read_text().split()) == 2
        assert gateway.metric("delegate_requests_total") == 1


def test_a_worker_killed_while_it_waits_is_no_worker_any_more(tmp_path: Path) -> None:
    with running_gateway(tmp_path, worker_seconds=0.5) as gateway:
        with running_worker(gateway, "cat") as worker:
            worker.signal(signal.SIGKILL)
            worker.wait()
        gateway.until_ready(ready=False)
        assert gateway.run(b"x").status == 503
        with running_worker(gateway, "cat"):
            assert gateway.run(b"x").status == 200


def test_requests_that_wait_for_a_killed_worker_are_answered(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    with running_gateway(tmp_path, worker_seconds=0.5, **SOON) as gateway, running_worker(gateway, "sleep 60") as worker:
        asking = [pool.submit(gateway.run, b"%d" % number) for number in range(3)]
        wait_until(lambda: gateway.metric("delegate_waiting") == 2)
        worker.signal(signal.SIGKILL)
        assert {each.result().status for each in asking} == {503}


def test_a_killed_gateway_is_asked_again_and_what_it_had_given_out_is_stopped(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    port = free_port()
    command = f"read -r what; echo $$ > {tmp_path}/pid; [ $what = short ] || sleep 60; echo done"
    with running_gateway(tmp_path, port=port) as first, running_worker(first, command):
        asking = pool.submit(first.run, b"long\n")
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        running = int((tmp_path / "pid").read_text())
        first.signal(signal.SIGKILL)
        first.wait()
        with pytest.raises((OSError, http.client.HTTPException)):
            asking.result()
        with running_gateway(tmp_path, port=port) as second:
            second.until_ready()
            wait_until(lambda: not is_alive(running), seconds=30)
            assert second.run(b"short\n").body == b"done\n"


def test_a_gateway_killed_while_its_worker_waits_is_found_again(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as first, running_worker(first, "cat") as worker:
        first.signal(signal.SIGKILL)
        first.wait()
        with running_gateway(tmp_path) as second:
            second.until_ready()
            assert second.run(b"x").body == b"x"
            assert worker.process.poll() is None


@pytest.mark.parametrize("how", ["deleted", "another file in its place"])
def test_a_socket_that_is_gone_is_made_again(tmp_path: Path, how: str) -> None:
    with running_gateway(tmp_path) as gateway:
        gateway.socket.unlink()
        if how != "deleted":
            gateway.socket.write_text("not a socket")
        with running_worker(gateway, "cat"):
            assert gateway.run(b"x").body == b"x"
        assert "is made again" in gateway.said


def test_a_full_spool_refuses_bodies_and_answers_and_recovers(small_disk: Path, tmp_path: Path) -> None:
    with running_gateway(tmp_path, spool=small_disk) as gateway, running_worker(gateway, "head -c 300000 /dev/zero"):
        body = gateway.run(b"x" * 300_000)
        assert (body.status, "no room for the request's body" in body.document["detail"]) == (503, True)
        answer = gateway.run(b"x")
        assert (answer.status, "no room for the answer" in answer.document["detail"]) == (503, True)
    with running_gateway(tmp_path, spool=small_disk) as gateway, running_worker(gateway, "cat"):
        assert gateway.run(b"x" * 300_000).status == 503
        assert gateway.run(b"x" * 100_000).body == b"x" * 100_000


def test_a_bounded_spool_is_shared_by_all(tmp_path: Path) -> None:
    with running_gateway(tmp_path, spool_bytes=1000) as gateway, running_worker(gateway, "cat"):
        assert gateway.run(b"x" * 1001).status == 503
        assert [gateway.run(b"x" * 500).status for _ in range(3)] == [200] * 3
        assert gateway.metric("delegate_spool_bytes") == 0


def test_a_worker_whose_disk_is_full_says_so(small_disk: Path, tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "cat", options=("--folder", str(small_disk))):
        answer = gateway.run(b"x" * 300_000)
        assert (answer.status, "No space left" in answer.document["detail"]) == (503, True)
        assert gateway.run(b"x" * 1000).status == 200


def test_a_draining_gateway_answers_what_it_has_and_takes_no_more(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "sleep 0.7; cat"):
        asking = [pool.submit(gateway.run, b"%d" % number) for number in range(3)]
        wait_until(lambda: gateway.metric("delegate_waiting") == 2)
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.send("GET", "/readyz").status == 503)
        late = gateway.run(b"late")
        assert (late.status, late.document["title"], late.headers["retry-after"]) == (503, "shutting down", "1")
        assert sorted(each.result().body for each in asking) == [b"0", b"1", b"2"]
        assert gateway.wait() == 0
        assert not gateway.socket.exists()


def test_a_gateway_takes_requests_until_no_one_is_sent_to_it(tmp_path: Path) -> None:
    with running_gateway(tmp_path, unready_seconds=2) as gateway, running_worker(gateway, "cat"):
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.send("GET", "/readyz").status == 503)
        assert gateway.run(b"x").body == b"x"
        assert gateway.wait() == 0


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT]])
def test_what_does_not_end_in_time_is_told_to_ask_again(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor, signals: list[int]
) -> None:
    drain = 0.5 if signals == [signal.SIGTERM] else 600
    with running_gateway(tmp_path, drain_seconds=drain) as gateway, running_worker(gateway, "sleep 60"):
        asking = pool.submit(gateway.run, b"x")
        wait_until(lambda: gateway.metric("delegate_running") == 1)
        for number in signals:
            gateway.signal(number)
        assert (asking.result().status, asking.result().document["title"]) == (503, "shutting down")
        assert gateway.wait() == 0


def test_a_worker_finishes_what_it_has_and_ends(tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "sleep 1; cat") as worker:
        asking = pool.submit(gateway.run, b"x")
        wait_until(lambda: gateway.metric("delegate_running") == 1)
        worker.signal(signal.SIGTERM)
        assert asking.result().body == b"x"
        assert worker.wait() == 0
        assert gateway.run(b"x").status == 503, "a worker that says good-bye no longer counts"


def test_a_worker_that_lingers_takes_what_comes_after_term(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "cat", options=("--linger", "3")) as worker:
        worker.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert gateway.run(b"x").body == b"x"
        assert worker.wait() == 0


def test_a_second_term_stops_a_worker_and_its_command(tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    command = f"echo $$ > {tmp_path}/pid; sleep 60"
    with running_gateway(tmp_path, **SOON, worker_seconds=0.5) as gateway, running_worker(gateway, command) as worker:
        asking = pool.submit(gateway.run, b"x")
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        worker.signal(signal.SIGTERM)
        time.sleep(0.5)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 128 + signal.SIGTERM
        wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))
        assert asking.result().status == 503


def test_limits_of_a_worker_hold_for_its_command(tmp_path: Path) -> None:
    options = ("--file-bytes", "1000", "--cpu-seconds", "100", "--open-files", "50", "--memory-bytes", "4000000000")
    with running_gateway(tmp_path) as gateway, running_worker(gateway, "ulimit -f -t -n; cat >&2", options=options):
        assert gateway.run(b"").body.split()[-1] == b"50"


@pytest.mark.parametrize("step", ["before the body", "in the body", "in the queue", "while it is computed", "in the answer"])
def test_a_client_that_breaks_off_leaves_nothing_behind(tmp_path: Path, step: str) -> None:
    command = "read -r what; [ $what != wait ] || sleep 60; head -c 3000000 /dev/zero"
    with running_gateway(tmp_path, waiting_for_each_worker=1) as gateway, running_worker(gateway, command):
        for _ in range(3):
            client = RawClient(gateway.url)
            if step == "before the body":
                client.send(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            elif step == "in the body":
                client.post(b"half", length=9)
            else:
                client.post(b"go\n" if step == "in the answer" else b"wait\n")
            if step == "in the answer":
                client.read(100)
            if step == "while it is computed":
                wait_until(lambda: gateway.metric("delegate_running") == 1)
            client.close()
            wait_until(lambda: gateway.metric("delegate_running") + gateway.metric("delegate_waiting") == 0)
        assert len(gateway.run(b"go\n").body) == 3_000_000
        wait_until(lambda: gateway.metric("delegate_spool_bytes") == 0)


def test_a_killed_cache_costs_its_clients_an_answer_and_nobody_else(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    port = free_port()
    command, options = f"echo >> {tmp_path}/runs; sleep 1; cat", ("--fingerprint", "echo one")
    with running_gateway(tmp_path) as gateway, running_worker(gateway, command, options=options):
        with running_nginx(gateway, port) as nginx:
            asking = pool.submit(_answer_or_none, nginx, b"x")
            wait_until((tmp_path / "runs").exists)
        assert asking.result() is None
        with running_nginx(gateway, port) as nginx:
            assert nginx.run(b"x").body == b"x"
            assert nginx.run(b"x").headers["delegate-cache"] == "HIT"


def _answer_or_none(nginx: Nginx, body: bytes) -> Answer | None:
    try:
        return nginx.run(body)
    except (OSError, http.client.HTTPException):
        return None


def test_a_gateway_killed_under_its_cache_is_asked_again(
    tmp_path: Path, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    port = free_port()
    command, options = f"echo >> {tmp_path}/runs; sleep 1; cat", ("--fingerprint", "echo one")
    with (
        running_gateway(tmp_path, port=port) as first,
        running_worker(first, command, options=options),
        running_nginx(first) as nginx,
    ):
        asking = pool.submit(nginx.run, b"x")
        wait_until((tmp_path / "runs").exists)
        first.signal(signal.SIGKILL)
        first.wait()
        assert asking.result().status == 503
        with running_gateway(tmp_path, port=port) as second:
            second.until_ready()
            assert nginx.run(b"x").body == b"x"
