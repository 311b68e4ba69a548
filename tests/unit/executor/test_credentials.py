"""Where the driver's access comes from: whatever words the official client uses, the token is the token alone."""

from pathlib import Path

import pytest
from kubernetes.config import incluster_config

from executor import credentials
from executor.credentials import Source, resolve


def test_a_service_account_gives_its_token_without_the_clients_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("eyJ.a.b")
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "namespace").write_text("builds\n")
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = resolve(Source())
    assert (found.server, found.token, found.namespace) == ("https://10.96.0.1:443", "eyJ.a.b", "builds")
    assert found.authority.startswith("-----BEGIN")


def test_a_kubeconfigs_token_is_taken_alone(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        '{"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/"}}], "current-context": "c",'
        ' "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],'
        ' "users": [{"name": "u", "user": {"token": "eyJ.a.b"}}]}'
    )
    found = resolve(Source(kubeconfig=str(path)))
    assert (found.server, found.token) == ("http://127.0.0.1:1", "eyJ.a.b")
