"""Clause: architecture, section 5: credentials come from the official client, and are kept where only the driver reads them.

With credential plugins, which are programs. What a 401 does to a job: test_runner_credentials.py.
"""

import json
import time
from pathlib import Path

import pytest

from executor import credentials
from executor.credentials import Credentials, Source, load, renewed, resolve, save
from executor.errors import ClusterError
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


@pytest.mark.parametrize(
    ("program", "words"),
    [("echo no such role >&2; exit 1", "no such role"), ("echo '{'", "failed to decode"), ("exec /no/such/program", "127")],
)
def test_a_plugin_that_fails_is_told_with_its_words_instead_of_going_on_as_nobody(
    tmp_path: Path, program: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig_with(tmp_path, plugin(program))
    with pytest.raises(ClusterError, match=f"tried the kubeconfig {path}: .*{words}"):
        resolve(Source(kubeconfig=str(path)))
    assert capfd.readouterr() == ("", "")


def test_a_kubeconfig_without_credentials_is_taken_as_it_is(tmp_path: Path) -> None:
    """A proxy on this machine may need none."""
    assert resolve(Source(kubeconfig=str(kubeconfig_with(tmp_path, {})))).token == ""


def test_refused_credentials_are_replaced_by_newer_ones_that_are_kept_or_else_resolved_and_kept(tmp_path: Path) -> None:
    path = kubeconfig_with(tmp_path, {"token": "first"})
    first = resolve(Source(kubeconfig=str(path)))
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
    with pytest.raises(ClusterError, match="no answer within 5 s"):
        renewed(tmp_path, access)
    deadline = time.monotonic() + 60
    while pid.exists() and is_alive(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
