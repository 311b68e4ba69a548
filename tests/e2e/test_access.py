"""Access to a real API server: TLS through proxies, a server by another name, impersonation. See docs/executor.md."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Runner, payload
from tests.labs.cluster.lab import ClusterLab
from tests.labs.cluster.parts import DRIVER, NODE_ADDRESS
from tests.labs.farm.network import inside, listener_inside
from tests.labs.proxy import Proxy

HOST = "api.inside.test"  # known to the proxy alone, and not in the server's certificate


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_job_runs_through_a_proxy_with_tls_in_another_users_name(
    lab: ClusterLab, runner: Callable[..., Runner], tmp_path: Path, kind: Any
) -> None:
    if lab.cluster is None:
        pytest.skip("the proxy stands in a network of our own")
    init = lab.cluster.init
    document = json.loads(lab.cluster.kubeconfig("admin").read_text())
    server = document["clusters"][0]["cluster"]["server"]
    host, _, port = server.partition("://")[2].rpartition(":")
    with Proxy(
        {HOST: (host, int(port))},
        kind=kind,
        user="name:password",
        listener=listener_inside(init, address=NODE_ADDRESS),
        connect=lambda *where: inside(init, lambda: socket.create_connection(where)),
    ) as proxy:
        document["clusters"][0]["cluster"] |= {
            "server": f"https://{HOST}:6443", "tls-server-name": "kubernetes.default.svc", "proxy-url": proxy.url,
        }  # fmt: skip
        document["users"][0]["user"] |= {"as": DRIVER, "as-groups": ["system:authenticated"]}
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(document))
        made = runner(kubeconfig=path)
        made.when("\nbegun\n", proxy.cut)
        outcome = made.run(payload(["echo begun; sleep 2; echo ended"]))
    assert outcome.state == "success", outcome.text
    assert [outcome.text.count(f"\n{word}\n") for word in ("begun", "ended")] == [1, 1]
    assert set(proxy.asked) == {f"{HOST}:6443"}
