"""Clause: architecture, section 5: credentials come from the official client, and are kept where only the driver reads them.

With credential plugins, which are programs. What a 401 does to a job: test_runner_credentials.py.
"""

import base64
import json
import os
import time
from pathlib import Path

import pytest

from executor import credentials
from executor.access import resolve
from executor.credentials import Credentials, Source, load, renewed, save
from executor.errors import ClusterError
from tests.labs import certificates
from tests.labs.waiting import is_alive


def kubeconfig_with(folder: Path, user: dict[str, object]) -> Path:
    path = folder / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path.write_text(json.dumps(document))
    return path


def plugin(program: str) -> dict[str, object]:
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": "sh", "args": ["-c", program], "interactiveMode": "Never"}}


V1 = "client.authentication.k8s.io/v1"


def says(version: str = V1, **status: object) -> str:
    """Return a program that prints an ExecCredential."""
    return f"echo '{json.dumps({'kind': 'ExecCredential', 'apiVersion': version, 'status': status})}'"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("echo no such role >&2; exit 1", "ended with 1: no such role"),
        ("exit 3", "ended with 3: without a message"),
        ("kill -9 $$", "ended with -9"),
        ("exec /no/such/program", "127"),
        ("echo '{'", "printed no ExecCredential"),
        ("true", "printed no ExecCredential"),
        ("echo '{}'", "printed nothing of no version"),
        (says(V1 + "beta1", token="t"), "of client.authentication.k8s.io/v1beta1, not an"),
        (says(later="t"), "neither a token nor a client certificate"),
        (says(clientCertificateData="c"), "without its key"),
        (says(token=7), "Expected `str`"),
    ],
)  # fmt: skip
def test_a_plugin_that_fails_is_told_with_its_words_instead_of_going_on_as_nobody(
    tmp_path: Path, program: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig_with(tmp_path, plugin(program))
    with pytest.raises(ClusterError, match=f"tried the kubeconfig {path}: .*({words})"):
        resolve(Source(kubeconfig=str(path)), dict(os.environ))
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_is_not_there_is_told_with_the_hint_of_the_kubeconfig(tmp_path: Path) -> None:
    there = {"apiVersion": "client.authentication.k8s.io/v1", "command": "bin/login", "installHint": "ask the operators"}
    path = kubeconfig_with(tmp_path, {"exec": there})
    with pytest.raises(ClusterError, match="bin/login could not be started: No such file or directory; ask the operators"):
        resolve(Source(kubeconfig=str(path)), {})


def test_a_plugin_gets_what_the_kubeconfig_says_and_its_certificate_is_used(tmp_path: Path) -> None:
    """A path with a slash begins at the kubeconfig's folder; the cluster is told where that is asked for."""
    answer = {"clientCertificateData": certificates.CERTIFICATE, "clientKeyData": certificates.KEY, "token": "t"}
    version = "client.authentication.k8s.io/v1beta1"
    (tmp_path / "answer").write_text(json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": answer}))
    (tmp_path / "login").write_text(
        f'#!/bin/sh\necho "$1 $MORE $HOME" >{tmp_path}/said; printf %s "$KUBERNETES_EXEC_INFO" >{tmp_path}/info\n'
        f"cat {tmp_path}/answer\n"
    )
    (tmp_path / "login").chmod(0o755)
    exec_ = {
        "apiVersion": version, "command": "./login", "args": ["one argument"], "provideClusterInfo": True,
        "env": [{"name": "MORE", "value": "more"}], "interactiveMode": "IfAvailable",
    }  # fmt: skip
    path = kubeconfig_with(tmp_path, {"exec": exec_})
    document = json.loads(path.read_text())
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    document["clusters"][0]["cluster"] |= {"proxy-url": "http://p:1", "extensions": [extension], "tls-server-name": "n"}
    path.write_text(json.dumps(document))
    found = resolve(Source(kubeconfig=str(path)), {"HOME": "/home/x", "PATH": os.environ["PATH"]})
    assert (found.token, found.client_certificate, found.client_key) == ("t", certificates.CERTIFICATE, certificates.KEY)
    assert (tmp_path / "said").read_text() == "one argument more /home/x\n"
    assert json.loads((tmp_path / "info").read_text()) == {
        "kind": "ExecCredential", "apiVersion": version,
        "spec": {"interactive": False, "cluster": {
            "server": "http://127.0.0.1:1", "tls-server-name": "n", "proxy-url": "http://p:1", "config": {"audience": "x"},
        }},
    }  # fmt: skip


def test_a_plugin_that_hangs_in_prepare_is_given_up_with_all_that_it_has_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    path = kubeconfig_with(tmp_path, plugin(f"sleep 3000 & echo $! >{pid}; wait"))
    with pytest.raises(ClusterError, match="the exec plugin sh: no answer within 2 s"):
        resolve(Source(kubeconfig=str(path)), dict(os.environ), plugin_seconds=2)
    deadline = time.monotonic() + 60
    while pid.exists() and is_alive(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_login_by_openid_connect_is_the_official_clients(tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + 3600}).encode()).decode().rstrip("=")
    token = f"eyJh.{claims}.c"
    config = {"client-id": "c", "id-token": token, "idp-issuer-url": "http://127.0.0.1:1", "refresh-token": "r"}
    path = kubeconfig_with(tmp_path, {"auth-provider": {"name": "oidc", "config": config}})
    assert resolve(Source(kubeconfig=str(path)), {}).token == token
    path = kubeconfig_with(tmp_path, {"auth-provider": {"name": "oidc", "config": {}}})
    with pytest.raises(ClusterError, match="auth-provider oidc"):
        resolve(Source(kubeconfig=str(path)), {})


def test_a_kubeconfig_without_credentials_is_taken_as_it_is(tmp_path: Path) -> None:
    """A proxy on this machine may need none."""
    assert resolve(Source(kubeconfig=str(kubeconfig_with(tmp_path, {}))), {}).token == ""


def test_refused_credentials_are_replaced_by_newer_ones_that_are_kept_or_else_resolved_and_kept(tmp_path: Path) -> None:
    path = kubeconfig_with(tmp_path, {"token": "first"})
    first = resolve(Source(kubeconfig=str(path)), dict(os.environ))
    save(first, tmp_path)
    kubeconfig_with(tmp_path, {"token": "second"})
    second = renewed(tmp_path, first)
    assert second.token == "second"
    assert load(tmp_path) == second
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    path.unlink()
    assert renewed(tmp_path, first) == second, "another call has renewed them already"
    with pytest.raises(ClusterError, match=f"no access to a cluster: tried the kubeconfig {path}"):
        renewed(tmp_path, second)
    assert load(tmp_path) == second


def test_a_plugin_that_hangs_is_given_up_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    path = kubeconfig_with(tmp_path, plugin(f"sleep 3000 & echo $! >{pid}; wait"))
    access = Credentials(server="http://127.0.0.1:1", source=Source(kubeconfig=str(path)))
    save(access, tmp_path)
    monkeypatch.setattr(credentials, "_RENEWAL_SECONDS", 5)
    with pytest.raises(ClusterError, match="the exec plugin sh: no answer within 5 s"):
        renewed(tmp_path, access)
    deadline = time.monotonic() + 60
    while pid.exists() and is_alive(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
