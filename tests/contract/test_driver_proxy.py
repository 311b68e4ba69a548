"""Clause: docs/executor.md, "Access to the cluster": a proxy carries every connection, those of scripts' output included."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor import errors
from executor.credentials import Credentials
from executor.kube import Api
from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.lab import ContractLab
from tests.labs.proxy import Proxy

HOST = "api.inside.test"  # known to the proxy alone


@pytest.fixture
def kubeconfig_for(cluster: FakeCluster, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a kubeconfig whose server only a proxy can reach."""

    def write(**more: Any) -> Path:
        document = json.loads(cluster.kubeconfig().read_text())
        document["clusters"][0]["cluster"] = {"server": f"http://{HOST}:6443"} | more
        path = tmp_path / "behind-a-proxy"
        path.write_text(json.dumps(document))
        return path

    return write


def hosts_of(cluster: FakeCluster) -> dict[str, tuple[str, int]]:
    return {HOST: ("127.0.0.1", int(cluster.url.rpartition(":")[2]))}


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("user", ["", "name:p%40ss"], ids=["open", "with a password"])
def test_a_job_runs_through_the_proxy_of_the_kubeconfig(
    lab: ContractLab, cluster: FakeCluster, kubeconfig_for: Callable[..., Path], kind: Any, user: str
) -> None:
    with Proxy(hosts_of(cluster), kind=kind, user=user.replace("%40", "@")) as proxy:
        url = proxy.url.replace(user.replace("%40", "@"), user)
        runner = lab.runner(kubeconfig=kubeconfig_for(**{"proxy-url": url}), environment={"HTTP_PROXY": "127.0.0.1:1"})
        runner.when("\nbegun\n", proxy.cut)
        outcome = runner.run(lab.job(["echo begun; sleep 4; echo ended"], after=["echo after"]))
    assert outcome.state == "success", outcome.text
    assert [outcome.text.count(f"\n{word}\n") for word in ("begun", "ended", "after")] == [1, 1, 1]
    assert set(proxy.asked) == {f"{HOST}:6443"}
    assert len([command for command in cluster.commands if "run" in command]) >= 3, "scripts ran through it as well"
    assert "p@ss" not in outcome.text
    assert "p%40ss" not in outcome.text


def test_a_job_runs_through_the_proxy_of_the_environment(
    lab: ContractLab, cluster: FakeCluster, kubeconfig_for: Callable[..., Path]
) -> None:
    with Proxy(hosts_of(cluster)) as proxy:
        environment = {"HTTP_PROXY": proxy.url.removeprefix("http://"), "NO_PROXY": "other.test,10.0.0.0/8"}
        outcome = lab.runner(kubeconfig=kubeconfig_for(), environment=environment).run(lab.job(["echo done"]))
    assert outcome.state == "success", outcome.text
    assert set(proxy.asked) == {f"{HOST}:6443"}


def test_an_exception_of_the_environment_is_reached_directly(lab: ContractLab) -> None:
    """The fake cluster is on loopback, which no proxy can stand before; so is what NO_PROXY names."""
    outcome = lab.runner(environment={"HTTP_PROXY": "127.0.0.1:1", "https_proxy": "127.0.0.1:1"}).run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text


def api_through(proxy: str) -> Api:
    return Api(Credentials(server=f"http://{HOST}:6443", proxy=proxy))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("403 Forbidden", errors.ClusterError, "rejects a connection to api.inside.test:6443: 403 Forbidden"),
        ("302 Found", errors.ClusterError, "302 Found"),
        ("502 Bad Gateway", errors.Unavailable, "502 Bad Gateway"),
        ("\x00\x01", errors.Unavailable, "rejects"),
    ],
)
def test_a_proxy_that_rejects_is_named(answer: str, kind: type[errors.ClusterError], words: str) -> None:
    with Proxy({}, answer=answer) as proxy:
        with pytest.raises(errors.ClusterError, match=words) as caught:
            api_through(proxy.url).call("GET", "/version")
        assert type(caught.value) is kind
        assert f"the proxy {proxy.url}" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        ("http", "http://wrong:geheim@{address}", "407 Proxy Authentication Required"),
        ("http", "http://{address}", "407 Proxy Authentication Required"),
        ("socks5", "socks5://wrong:geheim@{address}", "rejects the user name and password of its URL"),
        ("socks5", "socks5://{address}", "asks for a user name and password, which its URL lacks"),
        ("socks5", "http://{address}", "does not answer"),
    ],
)
def test_a_proxy_that_wants_another_password_is_a_final_error_without_it(kind: Any, url: str, words: str) -> None:
    with Proxy({}, kind=kind, user="name:right") as proxy:
        address = proxy.url.rpartition("@")[2]
        with pytest.raises(errors.ClusterError, match=words) as caught:
            api_through(url.format(address=address)).call("GET", "/version")
    assert "geheim" not in str(caught.value)


def test_a_host_that_a_socks_proxy_does_not_know_and_a_proxy_that_is_not_there() -> None:
    with Proxy({}, kind="socks5") as proxy, pytest.raises(errors.Unavailable, match="the host is unreachable"):
        api_through(proxy.url).call("GET", "/version")
    with pytest.raises(errors.Unavailable, match=r"the proxy http://127\.0\.0\.1:1 does not answer"):
        api_through("http://127.0.0.1:1").call("GET", "/version")


def test_a_proxy_that_says_nothing_uses_up_the_time_of_one_connection() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(errors.Unavailable, match="does not answer: TimeoutError"),
    ):
        api_through(f"http://127.0.0.1:{silent.getsockname()[1]}").open_socket(0.3)
