"""Access to the API server: the official client resolves it once for each attempt; the contents lie in the attempt's folder.

The one module that may import `kubernetes`, and only within `resolve` and what it calls. The client deletes its certificate
files when its process ends, so their contents are kept, mode 0600. Tokens of exec plugins and service accounts expire: a 401
renews them.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from executor.errors import ClusterError, DriverError, SettingsError
from executor.files import write_private

_FILE = "credentials.json"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_RENEWAL = (
    "import sys; sys.path.insert(0, sys.argv[1]); from executor.credentials import renew_here; renew_here(sys.argv[2])"
)
_RENEWAL_SECONDS = 30.0
_LONGEST_MESSAGE = 1000


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where credentials come from, by the operator's settings."""

    kubeconfig: str = ""
    context: str = ""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """All that a connection to the API server needs."""

    server: str
    """URL, with scheme and without a slash at its end."""
    token: str = ""
    """Bearer token, "" with a client certificate."""
    authority: str = ""
    """Certificates of the server's authority, PEM; "" trusts the system's authorities."""
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
        with _logged_errors() as logged:
            namespace = _load(source, configuration)
    except (config.ConfigException, OSError) as error:
        raise ClusterError(
            f"no access to a cluster: {_tried(source)}: {str(error).rstrip('.')}; set kubernetes.kubeconfig"
        ) from error
    keys = configuration.api_key  # `BearerToken` since client 36, `authorization` before
    token = str(keys.get("BearerToken") or keys.get("authorization") or "")
    if logged and not token and not configuration.cert_file:  # a plugin failed; the client continues without credentials
        raise ClusterError(f"no access to a cluster: {_tried(source)}: {'; '.join(logged)[:_LONGEST_MESSAGE]}")
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


def _load(source: Source, configuration: Any) -> str:
    """Have the official client fill its configuration; return the namespace that the source names."""
    from kubernetes import config  # noqa: PLC0415 (see resolve)

    if not source.kubeconfig and _SERVICE_ACCOUNT.exists():
        config.load_incluster_config(client_configuration=configuration)
        return (_SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    path = source.kubeconfig or config.KUBE_CONFIG_DEFAULT_LOCATION
    config.load_kube_config(config_file=path, context=source.context or None, client_configuration=configuration)
    return _context_namespace(path, source.context)


@contextlib.contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Yield the errors that the client logs within: it only logs that a plugin has failed, and continues as anonymous."""
    import logging  # noqa: PLC0415 (the client has loaded it; the other verbs load this module without)

    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    collector = Collector(logging.ERROR)
    logging.getLogger().addHandler(collector)
    try:
        yield messages
    finally:
        logging.getLogger().removeHandler(collector)


def save(credentials: Credentials, folder: Path) -> None:
    """Keep credentials in the attempt's folder, readable by the owner only."""
    write_private(folder / _FILE, msgspec.json.encode(credentials))


def load(folder: Path) -> Credentials:
    """Return the attempt's credentials. Raises SettingsError if prepare has kept none."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Credentials)
    except FileNotFoundError as error:
        raise SettingsError(f"{folder / _FILE} is missing: prepare has not run in this attempt") from error


def renewed(folder: Path, refused: Credentials) -> Credentials:
    """Return new credentials after the server has refused some, and keep them for the attempt's later calls.

    Those that another thread or call has kept meanwhile are returned as they are. Otherwise a child process resolves them:
    in this process the official client would take its memory for as long as the script runs. Raises ClusterError.
    """
    kept = load(folder)
    if kept != refused:
        return kept
    import subprocess  # noqa: PLC0415 (rarely needed)

    argv = [sys.executable, "-P", "-c", _RENEWAL, str(Path(__file__).parents[1]), str(folder)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, process_group=0) as process:
        try:
            stderr = process.communicate(timeout=_RENEWAL_SECONDS)[1]
        except BaseException as error:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # the whole group: it may be the plugin that hangs
            if isinstance(error, subprocess.TimeoutExpired):
                raise ClusterError(f"{_tried(kept.source)}: no answer within {_RENEWAL_SECONDS:.0f} s") from error
            raise
    if process.returncode:
        message = stderr.decode("utf-8", "replace").strip()[-_LONGEST_MESSAGE:]
        raise ClusterError(message or f"{_tried(kept.source)}: it ended with {process.returncode}")
    return load(folder)


def renew_here(folder: str) -> None:
    """Resolve the credentials of an attempt's folder again and keep them; an error is printed on standard error."""
    attempt_folder = Path(folder)
    try:
        save(resolve(load(attempt_folder).source), attempt_folder)
    except DriverError as error:
        sys.exit(str(error))


def _bare(token: str) -> str:
    """Return a token without its scheme, which the client writes `Bearer` or `bearer`, depending on the token's source."""
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
