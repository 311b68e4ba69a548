"""Clause: docs/delegate.md, "Results with an address": what a stock nginx in front of a gateway promises."""

import concurrent.futures
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.delegate import (
    Answer,
    Gateway,
    Nginx,
    RawClient,
    free_port,
    running_gateway,
    running_nginx,
    running_worker,
    send,
)
from tests.labs.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

COMMAND = """
echo >> {folder}/runs
read -r what rest < /dev/stdin
case $what in sleep) sleep $rest ;; refuse) echo no >&2; exit 1 ;; later) exit 75 ;; esac
cat {folder}/input
"""


class Pod:
    """A gateway, a worker that counts its runs, and a cache."""

    def __init__(self, folder: Path, gateway: Gateway, nginx: Nginx) -> None:
        self.folder, self.gateway, self.nginx = folder, gateway, nginx
        self.change("one")

    def change(self, text: str) -> None:
        """Change the command's input."""
        (self.folder / "input.new").write_text(text)
        (self.folder / "input.new").rename(self.folder / "input")

    def runs(self) -> int:
        """Return how often the command was run since the last time, and forget it."""
        path = self.folder / "runs"
        count = len(path.read_text()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count

    def many(self, count: int, body: bytes) -> list[Answer]:
        """Send equal requests at once."""
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(self.nginx.run, [body] * count))


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    command, fingerprint = COMMAND.format(folder=tmp_path), f"cat {tmp_path}/input"
    with (
        running_gateway(tmp_path) as gateway,
        running_worker(gateway, command, options=("--fingerprint", fingerprint)),
        running_nginx(gateway) as nginx,
    ):
        yield Pod(tmp_path, gateway, nginx)


def test_a_second_request_is_a_hit_and_a_changed_input_is_a_miss(pod: Pod) -> None:
    first, second = pod.nginx.run(b"x"), pod.nginx.run(b"x")
    assert [answer.headers["delegate-cache"] for answer in (first, second)] == ["MISS", "HIT"]
    assert (first.body, second.body, pod.runs()) == (b"one", b"one", 1)
    pod.change("two")
    third = pod.nginx.run(b"x")
    assert (third.body, third.headers["delegate-cache"], pod.runs()) == (b"two", "MISS", 1)
    pod.change("one")
    assert (pod.nginx.run(b"x").headers["delegate-cache"], pod.runs()) == ("HIT", 0), "the old address still stands"


def test_equal_requests_at_once_are_one_computation_cold_and_after_a_change(pod: Pod) -> None:
    for text in ("one", "two"):
        pod.change(text)
        answers = pod.many(40, b"sleep 0.5")
        assert {(answer.status, answer.body) for answer in answers} == {(200, text.encode())}
        assert pod.runs() == 1


def test_equal_requests_that_are_refused_are_one_computation_too(pod: Pod) -> None:
    answers = pod.many(10, b"refuse")
    assert {(answer.status, answer.document["detail"]) for answer in answers} == {(422, "no")}
    assert pod.runs() == 1


def test_what_may_succeed_later_is_not_kept(pod: Pod) -> None:
    assert [pod.nginx.run(b"later").status for _ in range(2)] == [503, 503]
    assert pod.runs() == 2


def test_two_large_bodies_that_differ_in_their_last_byte_share_no_answer(pod: Pod) -> None:
    body = b"x" * ((1 << 20) - 1)
    addresses = {send(pod.nginx.url, "POST", "/v1/run", body + last).headers["location"] for last in (b"a", b"b")}
    assert len(addresses) == 2
    assert [pod.nginx.run(body + last).headers["delegate-cache"] for last in (b"a", b"b", b"b")] == ["MISS", "MISS", "HIT"]


def test_an_address_can_not_be_filled_with_another_requests_result(pod: Pod) -> None:
    address = send(pod.nginx.url, "POST", "/v1/run", b"mine").headers["location"]
    assert send(pod.nginx.url, "POST", address, b"another").status == 307
    assert send(pod.nginx.url, "GET", address).status == 404
    assert pod.runs() == 0
    assert send(pod.nginx.url, "POST", address, b"mine").body == b"one"
    assert [send(pod.nginx.url, method, address).status for method in ("GET", "HEAD")] == [200, 200]


def test_a_client_that_leaves_does_not_end_what_fills_the_cache(pod: Pod) -> None:
    address = send(pod.nginx.url, "POST", "/v1/run", b"sleep 0.5").headers["location"]
    client = RawClient(pod.nginx.url)
    client.post(b"sleep 0.5", address)
    wait_until((pod.folder / "runs").exists)
    client.close()
    wait_until(lambda: pod.gateway.metric("delegate_running") == 0)
    assert pod.nginx.run(b"sleep 0.5").headers["delegate-cache"] == "HIT"
    assert pod.runs() == 1


def test_a_client_that_leaves_before_there_is_an_address_cancels(tmp_path: Path) -> None:
    with (
        running_gateway(tmp_path) as gateway,
        running_worker(gateway, "sleep 60"),
        running_nginx(gateway) as nginx,
    ):
        client = RawClient(nginx.url)
        client.post(b"x")
        wait_until(lambda: gateway.metric("delegate_running") == 1)
        began_at = time.monotonic()
        client.close()
        wait_until(lambda: gateway.metric("delegate_running") == 0)
        assert time.monotonic() - began_at < 2


def test_the_cache_is_for_those_who_may_ask(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret")
    with (
        running_gateway(tmp_path, token_file=tokens) as gateway,
        running_worker(gateway, "cat", options=("--fingerprint", "echo one")),
        running_nginx(gateway) as nginx,
    ):
        right = "Bearer secret"
        address = send(nginx.url, "POST", "/v1/run", b"x", Authorization=right).headers["location"]
        assert [send(nginx.url, "POST", address, b"x", Authorization=right).headers["delegate-cache"] for _ in "12"] == [
            "MISS",
            "HIT",
        ]
        assert [send(nginx.url, method, address).status for method in ("POST", "GET")] == [401, 401]
        assert nginx.run(b"x").status == 401


def test_a_killed_nginx_keeps_its_cache(tmp_path: Path) -> None:
    command, fingerprint, port = f"echo >> {tmp_path}/runs; cat", "echo one", free_port()
    with running_gateway(tmp_path) as gateway, running_worker(gateway, command, options=("--fingerprint", fingerprint)):
        with running_nginx(gateway, port) as nginx:
            assert nginx.run(b"x").headers["delegate-cache"] == "MISS"
        with running_nginx(gateway, port) as nginx:
            assert nginx.run(b"x").headers["delegate-cache"] == "HIT"
        assert (tmp_path / "runs").read_text() == "\n"


def test_without_a_gateway_the_cache_says_when_to_try_again(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, running_nginx(gateway) as nginx:
        gateway.end()
        answers = [send(nginx.url, "POST", path, b"x") for path in ("/v1/run", f"/v1/results/{'0' * 64}")]
        assert [(answer.status, answer.headers["retry-after"]) for answer in answers] == [(503, "1")] * 2
        assert answers[0].document["title"] == "no gateway"
