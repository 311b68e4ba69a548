"""What a kubeconfig says is used, has no effect on access, or is rejected by its name: each field of the v1 Config."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executor import access
from executor.access import resolve
from executor.credentials import Credentials, Source
from executor.errors import ClusterError
from executor.kubeconfig import Config
from tests.labs import certificates as pem

_DATA = pem.as_base64(pem.AUTHORITY)
_OF_PROVIDER = {"name": "gcp", "config": {"access-token": "t"}}
_PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "c", "interactiveMode": "Never"}


def kubeconfig(folder: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **top: Any) -> Path:
    path = folder / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    } | top
    path.write_text(json.dumps(document))
    return path


def resolved(path: Path | str, environ: dict[str, str] | None = None, context: str = "") -> tuple[Credentials, list[str]]:
    warnings: list[str] = []
    found = resolve(Source(kubeconfig=str(path), context=context), environ or {}, warn=warnings.append)
    return found, warnings


# Path in the file -> a value, and what it leads to: a key of the credentials and its value, a word of the rejection, or None
# for what has no effect on access.
FIELDS: dict[str, tuple[Any, tuple[str, Any] | str | None]] = {
    "kind": ("Pod", "it is a Pod of"),
    "apiVersion": ("v2", "of v2, not a Config of v1"),
    "preferences.colors": (True, None),
    "preferences.extensions": ([{"name": "n", "extension": {"a": 1}}], None),
    "extensions": ([{"name": "n", "extension": {"a": 1}}], None),
    "current-context": ("other", "no context 'other'; there are: x"),
    "clusters.cluster.server": ("http://other:80/prefix/", ("server", "http://other:80/prefix")),
    "clusters.cluster.tls-server-name": ("inside.example", ("tls_server_name", "inside.example")),
    "clusters.cluster.insecure-skip-tls-verify": (True, ("verify", False)),
    "clusters.cluster.certificate-authority": ("ca.crt", ("authority", pem.AUTHORITY)),
    "clusters.cluster.certificate-authority-data": (_DATA, ("authority", pem.AUTHORITY)),
    "clusters.cluster.proxy-url": ("socks5://localhost:1080", ("proxy", "socks5://localhost:1080")),
    "clusters.cluster.disable-compression": (True, None),
    "clusters.cluster.extensions": ([{"name": "n", "extension": {"a": 1}}], None),
    "users.user.client-certificate": ("user.crt", "client-key is missing"),
    "users.user.client-certificate-data": (pem.as_base64(pem.CERTIFICATE), "client-key is missing"),
    "users.user.client-key": ("user.key", "client-certificate is missing"),
    "users.user.client-key-data": (pem.as_base64(pem.KEY), "client-certificate is missing"),
    "users.user.token": ("eyJ.a.b", ("token", "eyJ.a.b")),
    "users.user.tokenFile": ("token", ("token", "eyJ.from.file")),
    "users.user.as": ("builder", ("impersonate", (("Impersonate-User", "builder"),))),
    "users.user.as-uid": ("7", "as-uid needs `as`"),
    "users.user.as-groups": (["g"], "as-groups needs `as`"),
    "users.user.as-user-extra": ({"k": ["v"]}, "as-user-extra needs `as`"),
    "users.user.username": ("name", ("username", "name")),
    "users.user.password": ("secret", ("password", "secret")),
    "users.user.auth-provider": (_OF_PROVIDER, "auth-provider 'gcp' is not supported"),
    "users.user.exec": ({}, "exec names no command"),
    "users.user.exec.command": ("", "exec names no command"),
    "users.user.exec.args": (7, "Expected `array`, got `int` - at `$.users[0].user.exec.args`"),
    "users.user.exec.env": ([{"value": "v"}], "exec.env has a variable without a name"),
    "users.user.exec.apiVersion": ("client.authentication.k8s.io/v1alpha1", "v1alpha1' is not supported"),
    "users.user.exec.installHint": (7, "Expected `str`, got `int` - at `$.users[0].user.exec.installHint`"),
    "users.user.exec.provideClusterInfo": ("yes", "Expected `bool`"),
    "users.user.exec.interactiveMode": ("Always", "a job has no terminal"),
    "users.user.extensions": ([{"name": "n", "extension": {"a": 1}}], None),
    "contexts.context.cluster": ("other", "names the cluster 'other'; there are: c"),
    "contexts.context.user": ("other", "names the user 'other'; there are: u"),
    "contexts.context.namespace": ("builds", ("namespace", "builds")),
    "contexts.context.extensions": ([{"name": "n", "extension": {"a": 1}}], None),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that relative paths name."""
    for name, text in (("ca.crt", pem.AUTHORITY), ("user.crt", pem.CERTIFICATE), ("user.key", pem.KEY)):
        (tmp_path / name).write_text(f"# what stands between blocks: Főtanúsítvány\n{text}")
    (tmp_path / "token").write_text("eyJ.from.file\n")
    return tmp_path


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_is_used_or_has_no_effect_or_is_rejected_by_its_name(folder: Path, field: str) -> None:
    value, expected = FIELDS[field]
    path = kubeconfig(folder)
    plain, _ = resolved(path)
    document = json.loads(path.read_text())
    place: Any = document
    *parents, last = field.split(".")
    for key in parents:
        place = place.setdefault(key, dict(_PLUGIN, command="/no/such/program") if key == "exec" else {})
        place = place[0] if isinstance(place, list) else place
    place[last] = value
    path.write_text(json.dumps(document))
    if isinstance(expected, str):
        with pytest.raises(ClusterError, match=re.escape(expected)) as caught:
            resolved(path)
        assert str(path) in str(caught.value)
        return
    found, warnings = resolved(path)
    assert not warnings
    changed = {} if expected is None else {expected[0]: expected[1]}
    assert found == msgspec.structs.replace(plain, **changed)


def test_the_table_has_every_field() -> None:
    def fields(struct: type[msgspec.Struct], path: str) -> set[str]:
        found = set()
        for field in msgspec.structs.fields(struct):
            inner = next((one for one in (field.type, *getattr(field.type, "__args__", ())) if isinstance(one, type)), None)
            here = f"{path}.{field.encode_name}".lstrip(".")
            is_ours = inner is not None and issubclass(inner, msgspec.Struct)
            stop = field.encode_name in {"extensions", "env", "auth-provider"}
            found |= fields(inner, here) if is_ours and inner and not stop else {here}
        return found

    named = {"clusters.name", "users.name", "contexts.name"}
    assert fields(Config, "") - named == set(FIELDS) - {"users.user.exec"}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"client-certificate": "user.crt", "client-key": "user.key"}, {"client_certificate": pem.CERTIFICATE}),
        (
            {"client-certificate": "no-such", "client-certificate-data": pem.as_base64(pem.CERTIFICATE),
             "client-key-data": "\n".join(re.findall(".{1,60}", pem.as_base64(pem.KEY)))},
            {"client_certificate": pem.CERTIFICATE, "client_key": pem.KEY},
        ),
        ({"token": "old", "tokenFile": "token"}, {"token": "eyJ.from.file"}),
        ({"token": " eyJ.a.b\n"}, {"token": "eyJ.a.b"}),
        (
            {"as": "ü", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"example.org/Rôle": ["x", "y"]}},
            {"impersonate": (
                ("Impersonate-User", "ü"), ("Impersonate-Uid", "7"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"),
                ("Impersonate-Extra-example.org%2FR%C3%B4le", "x"), ("Impersonate-Extra-example.org%2FR%C3%B4le", "y"),
            )},
        ),
        ({"token": "t", "exec": dict(_PLUGIN, command="/no/such/program")}, {"token": "t"}),
    ],
)  # fmt: skip
def test_what_stands_together_is_read_as_kubectl_reads_it(
    folder: Path, user: dict[str, Any], expected: dict[str, Any]
) -> None:
    found, _ = resolved(kubeconfig(folder, user=user))
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({"insecure-skip-tls-verify": True, "certificate-authority": "ca.crt"}, {}, "exclude each other"),
        ({}, {"token": "t", "username": "n"}, "of which only one can be sent"),
        ({}, {"exec": _PLUGIN, "auth-provider": _OF_PROVIDER}, "exclude each other"),
        ({}, {"token": "a\nb"}, "control character"),
        ({}, {"as": "a\r\nAuthorization: x"}, "control character"),
        ({}, {"username": "a:b"}, "colon"),
        ({}, {"tokenFile": "no-such"}, "No such file"),
        ({"certificate-authority-data": "%%%"}, {}, "certificate-authority-data is not base64"),
        ({"certificate-authority-data": "AAAA"}, {}, "holds no PEM block of a certificate"),
        ({"certificate-authority": "user.key"}, {}, "holds no PEM block of a certificate"),
        ({"certificate-authority-data": pem.as_base64(pem.BROKEN)}, {}, "cannot be used"),
        (
            {}, {"client-certificate": "user.crt", "client-key-data": pem.as_base64(pem.OTHER_KEY)},
            "cannot be used: KEY_VALUES_MISMATCH",
        ),
        ({}, {"client-certificate": "user.crt", "client-key-data": pem.as_base64(pem.ENCRYPTED_KEY)}, "cannot be used"),
        ({"server": ""}, {}, "names no server"),
        ({"server": "ftp://x"}, {}, "is not a URL"),
        ({"server": "https://user:geheim@x"}, {}, "server 'https://x' is not a URL"),
        ({"server": "https://x:99999"}, {}, "out of range"),
        ({"server": "https://x/?a=b"}, {}, "has a query"),
        ({"proxy-url": "https://user:geheim@proxy:3128"}, {}, "itself reached over TLS is not supported"),
        ({"proxy-url": "socks4://proxy"}, {}, "'socks4' is not supported"),
        ({"proxy-url": "http://"}, {}, "names no host"),
        ({"proxy-url": "http://proxy:x"}, {}, "Port"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_rejected_with_its_name_and_without_a_secret(
    folder: Path, cluster: dict[str, Any], user: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClusterError, match=re.escape(words)) as caught:
        resolved(kubeconfig(folder, cluster, user))
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"), ("- a", "Expected `object`, got `array`"), ("users: {}", "Expected `array`"),
        ("users: [{name: u, user: {token: 7}}]", "Expected `str`, got `int` - at `$.users[0].user.token`"),
        ("", "names no current-context"), ("null", "names no current-context"), ("\0", "is not YAML"),
        ("clusters: [{name: a}, {name: a}]", "clusters has 'a' twice"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_kubeconfig_is_rejected(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ClusterError, match=re.escape(words)):
        resolved(path)


def test_a_key_that_no_kubeconfig_has_is_reported(folder: Path) -> None:
    path = kubeconfig(folder, {"proxy_url": "http://proxy", "extensions": [{"name": "n", "extension": {"any": 1}}]}, later=1)
    found, warnings = resolved(path)
    assert found.proxy == ""
    assert "clusters.c.cluster.proxy_url (did you mean clusters.c.cluster.proxy-url?) is not a key" in warnings[0]
    assert ": later is not a key" in warnings[1]


def test_nulls_and_yaml_are_what_kubectl_writes(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\npreferences: {}\nextensions: null\nusers: null\ncurrent-context: x\n"
        "clusters:\n- name: c\n  cluster: {server: 'host:6443', insecure-skip-tls-verify: true}\n"
        "contexts:\n- {name: x, context: {cluster: c, user: '', namespace: null}}\n"
    )
    found, warnings = resolved(path)
    assert (found.server, found.token, found.namespace, warnings) == ("https://host:6443", "", "default", [])


def test_of_several_files_the_first_decides_and_paths_begin_at_the_file_that_names_them(folder: Path) -> None:
    for name, token in (("a", "first"), ("b", "second")):
        (folder / name).mkdir()
        (folder / name / "token").write_text(token)
    first = kubeconfig(folder / "a", user={"tokenFile": "token"}, clusters=[], contexts=[])
    second = kubeconfig(
        folder / "b", {"certificate-authority": "../ca.crt"}, {"tokenFile": "token"},
        **{"current-context": "y", "contexts": [
            {"name": "x", "context": {"cluster": "c", "user": "u"}}, {"name": "y", "context": {"cluster": "none"}},
        ]},
    )  # fmt: skip
    listed = f"{folder}/no-such-file:{first}:{second}"
    found, _ = resolved("", {"KUBECONFIG": listed})
    assert (found.token, found.authority) == ("first", pem.AUTHORITY)
    with pytest.raises(ClusterError, match="names the cluster 'none'"):
        resolved(listed, context="y")
    with pytest.raises(ClusterError, match="does not exist"):
        resolved("", {"KUBECONFIG": f"{folder}/no-such-file"})
    with pytest.raises(ClusterError, match=f"{folder}/home/.kube/config does not exist"):
        resolved("", {"HOME": f"{folder}/home"})


def test_the_environments_proxy_is_taken_unless_the_kubeconfig_names_one(folder: Path) -> None:
    environ = {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": "other.example"}
    assert resolved(kubeconfig(folder), environ)[0].proxy == "http://proxy:3128"
    own = kubeconfig(folder, {"proxy-url": "http://own:1"})
    assert resolved(own, environ | {"NO_PROXY": "*"})[0].proxy == "http://own:1"
    with pytest.raises(ClusterError, match=r"the proxy for https://api\.example:6443 in the environment: the scheme 'ftp'"):
        resolved(kubeconfig(folder), {"https_proxy": "ftp://proxy"})


def test_a_service_account_gives_its_token_and_is_asked_before_a_kubeconfig(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "namespace").write_text("builds\n")
    monkeypatch.setattr(access, "SERVICE_ACCOUNT", folder)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HTTPS_PROXY": "p:1"}
    found, _ = resolved("", environ)
    assert (found.server, found.token, found.namespace) == ("https://[fd00::1]:443", "eyJ.from.file", "builds")
    assert (found.authority, found.proxy) == (pem.AUTHORITY, "http://p:1")
    assert resolved("", environ | {"NO_PROXY": "fd00::/8"})[0].proxy == ""
    with pytest.raises(ClusterError, match="KUBERNETES_SERVICE_HOST"):
        resolved("", {})
