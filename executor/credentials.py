"""Access to the API server: resolved by the official client once per attempt, kept as contents in the attempt's folder.

The one module that may import `kubernetes`, and only inside `resolve`. The client's certificate files vanish with its
process, so contents are kept, mode 0600. Tokens of exec plugins and service accounts expire: a 401 resolves again.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from executor.errors import ClusterError, SettingsError
from executor.files import write_private

_FILE = "credentials.json"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where credentials come from, as the operator's settings say."""

    kubeconfig: str = ""
    context: str = ""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection to the API server needs."""

    server: str
    """URL, with scheme and without a slash at its end."""
    token: str = ""
    """Bearer token, "" with a client certificate."""
    authority: str = ""
    """Certificates of the server's authority, PEM; "" trusts the system's."""
    client_certificate: str = ""
    """PEM, with its key in `client_key`."""
    client_key: str = ""
    verify: bool = True
    """False only where the operator's kubeconfig says `insecure-skip-tls-verify`."""
    namespace: str = "default"
    """The namespace that the source names."""
    source: Source = Source()

    def __repr__(self) -> str:
        return f"Credentials({self.server}, ***)"


def resolve(source: Source) -> Credentials:
    """Return credentials, by the official client. Raises ClusterError naming what was tried."""
    from kubernetes import client, config  # noqa: PLC0415 (half a second; only where credentials are resolved)

    configuration: Any = client.Configuration()
    try:
        if source.kubeconfig or not _SERVICE_ACCOUNT.exists():
            path = source.kubeconfig or config.KUBE_CONFIG_DEFAULT_LOCATION
            context = source.context or None
            config.load_kube_config(config_file=path, context=context, client_configuration=configuration)
            namespace = _context_namespace(path, source.context)
        else:
            config.load_incluster_config(client_configuration=configuration)
            namespace = (_SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise ClusterError(f"no access to a cluster: {_tried(source)}: {error}; see kubernetes.kubeconfig") from error
    keys = configuration.api_key  # `BearerToken` since client 36, `authorization` before
    token = str(keys.get("BearerToken") or keys.get("authorization") or "")
    return Credentials(
        server=str(configuration.host).rstrip("/"),
        token=_bare(token),
        authority=_content(configuration.ssl_ca_cert),
        client_certificate=_content(configuration.cert_file),
        client_key=_content(configuration.key_file),
        verify=bool(configuration.verify_ssl),
        namespace=namespace or "default",
        source=source,
    )


def save(credentials: Credentials, folder: Path) -> None:
    """Keep credentials in the attempt's folder, readable by nobody else."""
    write_private(folder / _FILE, msgspec.json.encode(credentials))


def load(folder: Path) -> Credentials:
    """Return the attempt's credentials. Raises SettingsError if prepare has kept none."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Credentials)
    except FileNotFoundError as error:
        raise SettingsError(f"{folder / _FILE} is missing: prepare has not run in this attempt") from error


def _bare(token: str) -> str:
    """Return a token without its scheme, which the client writes in capitals or not, by where the token came from."""
    scheme, _, rest = token.partition(" ")
    return (rest if scheme.lower() == "bearer" else token).strip()


def _context_namespace(path: str, context: str) -> str:
    """Return the namespace of a kubeconfig's context."""
    from kubernetes.config import list_kube_config_contexts  # noqa: PLC0415 (see resolve)

    contexts, active = list_kube_config_contexts(config_file=path)
    chosen = next((one for one in contexts if one["name"] == context), active) if context else active
    return str(chosen["context"].get("namespace", ""))


def _content(path: str | None) -> str:
    return Path(path).read_text(encoding="ascii") if path else ""


def _tried(source: Source) -> str:
    if source.kubeconfig:
        return f"tried the kubeconfig {source.kubeconfig}"
    return f"tried the service account in {_SERVICE_ACCOUNT}, $KUBECONFIG and {os.path.expanduser('~/.kube/config')}"  # noqa: PTH111
