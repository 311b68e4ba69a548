"""Kubeconfig files: text to values. Each field of the v1 `Config` is kept here, and used or rejected by `credentials`.

Knows no network and starts nothing. Several files are merged as kubectl does it: the first to name something decides.
Source: Kubernetes client-go 0.34, tools/clientcmd: api/v1/types.go, loader.go, validation.go.
"""

from pathlib import Path
from typing import Any

import msgspec

from executor.errors import ClusterError
from spelling.keys import ignored_keys

_LARGEST_BYTES = 8 << 20


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """Data of other programs."""

    name: str = ""
    extension: Any = None


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A part of a kubeconfig: absent, null and empty mean the same."""


class Preferences(_Struct, frozen=True):
    """How kubectl prints; nothing for us."""

    colors: bool = False
    extensions: list[Extension] = []


class Cluster(_Struct, frozen=True):
    """How the API server is reached. Paths are absolute, or relative to the file's folder."""

    server: str = ""
    tls_server_name: str = ""
    """The name in the server's certificate where it differs from that in the URL."""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    """Base64 of PEM; like all `-data` it wins over the file."""
    proxy_url: str = ""
    disable_compression: bool = False
    """Holds anyway: no answer is asked for in compressed form."""
    extensions: list[Extension] = []


class AuthProvider(_Struct, frozen=True):
    """A way to log in that is built into clients; exec plugins have replaced all but `oidc`."""

    name: str = ""
    config: dict[str, str] = {}


class ExecVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable in a plugin's environment."""

    name: str = ""
    value: str = ""


class Exec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A program that prints credentials."""

    command: str = ""
    args: list[str] = []
    env: list[ExecVariable] = []
    api_version: str = msgspec.field(default="", name="apiVersion")
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class User(_Struct, frozen=True):
    """Who asks the API server."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    as_: str = msgspec.field(default="", name="as")
    """The user in whose name requests are sent."""
    as_uid: str = ""
    as_groups: list[str] = []
    as_user_extra: dict[str, list[str]] = {}
    username: str = ""
    password: str = ""
    auth_provider: AuthProvider | None = None
    exec: Exec | None = None
    extensions: list[Extension] = []


class Context(_Struct, frozen=True):
    """A cluster, a user and a namespace by their names."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""
    extensions: list[Extension] = []


class _NamedCluster(_Struct, frozen=True):
    name: str = ""
    cluster: Cluster = Cluster()


class _NamedUser(_Struct, frozen=True):
    name: str = ""
    user: User = User()


class _NamedContext(_Struct, frozen=True):
    name: str = ""
    context: Context = Context()


class Config(_Struct, frozen=True):
    """A whole file."""

    kind: str = ""
    api_version: str = msgspec.field(default="", name="apiVersion")
    preferences: Preferences = Preferences()
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []
    current_context: str = ""
    extensions: list[Extension] = []


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What one context means."""

    context: str
    namespace: str
    cluster: Cluster
    cluster_folder: Path
    """Folder of the file that names the cluster: its relative paths begin there."""
    user: User
    user_folder: Path
    unknown: list[str]
    """Keys in the files that a kubeconfig does not have: a misspelled one would be missed without a sign."""


def choose(files: dict[Path, bytes], context: str) -> Chosen:
    """Return what a context means, "" for the current one. Raises ClusterError naming file, key and name.

    `files` in their order of precedence.
    """
    clusters: dict[str, tuple[Path, Cluster]] = {}
    users: dict[str, tuple[Path, User]] = {}
    contexts: dict[str, tuple[Path, Context]] = {}
    unknown: list[str] = []
    for path, content in files.items():
        raw = _without_nulls(_parsed(path, content))
        config = _converted(path, raw)
        unknown += [f"{path}: {key}" for key in ignored_keys(raw, Config)]
        for kind, named in (("clusters", config.clusters), ("users", config.users), ("contexts", config.contexts)):
            _check_names(path, kind, [one.name for one in named])
        for cluster in config.clusters:
            clusters.setdefault(cluster.name, (path, cluster.cluster))
        for user in config.users:
            users.setdefault(user.name, (path, user.user))
        for one in config.contexts:
            contexts.setdefault(one.name, (path, one.context))
        context = context or config.current_context
    if not context:
        raise ClusterError(f"{_named(files)} names no current-context; set kubernetes.context")
    if context not in contexts:
        raise ClusterError(f"{_named(files)} has no context {context!r}; there are: {_listed(contexts)}")
    path, found = contexts[context]
    if found.cluster not in clusters:
        raise ClusterError(
            f"{path}: context {context!r} names the cluster {found.cluster!r}; there are: {_listed(clusters)}"
        )
    if found.user and found.user not in users:
        raise ClusterError(f"{path}: context {context!r} names the user {found.user!r}; there are: {_listed(users)}")
    user_path, chosen_user = users.get(found.user, (path, User()))
    cluster_path, chosen_cluster = clusters[found.cluster]
    return Chosen(
        context=context, namespace=found.namespace, cluster=chosen_cluster, cluster_folder=cluster_path.parent,
        user=chosen_user, user_folder=user_path.parent, unknown=unknown,
    )  # fmt: skip


def _parsed(path: Path, content: bytes) -> Any:
    """Return a file's content: YAML, of which JSON is a part."""
    if len(content) > _LARGEST_BYTES:
        raise ClusterError(f"{path} is larger than {_LARGEST_BYTES >> 20} MiB")
    import yaml  # noqa: PLC0415 (only where there is a kubeconfig)

    try:
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506 (both are safe)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ClusterError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from error


def _converted(path: Path, raw: Any) -> Config:
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ClusterError(f"{path} is not a kubeconfig: {error}") from error
    if config.kind not in {"", "Config"} or config.api_version not in {"", "v1"}:
        raise ClusterError(f"{path} is not a kubeconfig: it is a {config.kind} of {config.api_version}, not a Config of v1")
    return config


def _without_nulls(value: Any) -> Any:
    """Return a document without its nulls: kubectl writes them for what is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list) else value


def _check_names(path: Path, kind: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ClusterError(f"{path}: {kind} has {twice!r} twice")


def _named(files: dict[Path, bytes]) -> str:
    return "the kubeconfig " + ":".join(map(str, files))


def _listed(names: dict[str, Any]) -> str:
    return ", ".join(sorted(names)[:20]) or "none"
