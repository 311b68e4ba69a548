"""Access to the API server, as `access` has resolved it: the contents lie in the attempt's folder, mode 0600.

Contents, not paths: files and their folders change, and a plugin's certificate is nowhere else. Tokens of exec plugins and
service accounts expire: a 401 renews them.
"""

import os
import signal
import sys
from pathlib import Path

import msgspec

from executor.errors import ClusterError, SettingsError
from executor.files import write_private

_FILE = "credentials.json"
_RENEWAL = "import sys; sys.path.insert(0, sys.argv[1]); from executor.access import renew_here; renew_here(*sys.argv[2:])"
_RENEWAL_SECONDS = 30.0  # for a plugin
_START_SECONDS = 10.0
_LONGEST_MESSAGE = 1000
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where credentials come from, by the operator's settings."""

    kubeconfig: str = ""
    context: str = ""

    @property
    def tried(self) -> str:
        """Where access is looked for, for messages."""
        if self.kubeconfig:
            return f"tried the kubeconfig {self.kubeconfig}"
        return f"tried the service account in {SERVICE_ACCOUNT}, $KUBECONFIG and ~/.kube/config"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """All that a connection to the API server needs."""

    server: str
    """URL, with scheme and without a slash at its end."""
    token: str = ""
    """Bearer token, "" with a client certificate."""
    username: str = ""
    """For basic authentication, with `password`."""
    password: str = ""
    impersonate: tuple[tuple[str, str], ...] = ()
    """Headers that name the user for whom requests are sent."""
    authority: str = ""
    """Certificates of the server's authority, PEM; "" trusts the system's authorities."""
    client_certificate: str = ""
    """PEM, with its key in `client_key`."""
    client_key: str = ""
    verify: bool = True
    """False only where the operator's kubeconfig says `insecure-skip-tls-verify`."""
    tls_server_name: str = ""
    """The name in the server's certificate; "" is the host of `server`."""
    proxy: str = ""
    """URL of the proxy that leads to the server; "" connects directly."""
    namespace: str = "default"
    """The namespace that the source names."""
    source: Source = Source()

    def __repr__(self) -> str:
        return f"Credentials({self.server}, ***)"


def save(credentials: Credentials, folder: Path) -> None:
    """Keep credentials in the attempt's folder, readable by the owner only."""
    write_private(folder / _FILE, msgspec.json.encode(credentials))


def load(folder: Path) -> Credentials:
    """Return the attempt's credentials. Raises SettingsError if prepare has kept none."""
    try:
        return decoded((folder / _FILE).read_bytes())
    except FileNotFoundError as error:
        raise SettingsError(f"{folder / _FILE} is missing: prepare has not run in this attempt") from error


def decoded(content: bytes) -> Credentials:
    """Return what `save` has written."""
    return msgspec.json.decode(content, type=Credentials)


def renewed(folder: Path, refused: Credentials) -> Credentials:
    """Return new credentials after the server has refused some, and keep them for the attempt's later calls.

    Those that another thread or call has kept meanwhile are returned as they are. Otherwise a child process resolves them:
    in this process a YAML parser and more would take memory for as long as the script runs. Raises ClusterError.
    """
    kept = load(folder)
    if kept != refused:
        return kept
    import subprocess  # noqa: PLC0415 (rarely needed)

    argv = [sys.executable, "-P", "-c", _RENEWAL, str(Path(__file__).parents[1]), str(folder), str(_RENEWAL_SECONDS)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, process_group=0) as process:
        try:
            stderr = process.communicate(timeout=_RENEWAL_SECONDS + _START_SECONDS)[1]
        except BaseException as error:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ClusterError(f"{kept.source.tried}: no answer within {_RENEWAL_SECONDS:.0f} s") from error
            raise
    if process.returncode:
        message = stderr.decode("utf-8", "replace").strip()[-_LONGEST_MESSAGE:]
        raise ClusterError(message or f"{kept.source.tried}: it ended with {process.returncode}")
    return load(folder)
