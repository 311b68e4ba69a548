"""A small registry of container images, from docker archives: images that are there, and repositories that fail in set ways.

Paths with `private/` want a login; a repository with `status/CODE/` answers every request with that status; those in `names`
have the one image of the archive, all others are missing. Source: OCI distribution spec 1.1.
"""

import base64
import hashlib
import http.server
import json
import re
import socket
import ssl
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Self

USER, PASSWORD = "puller", "s3cret-registry-pass"
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
_STATUS = re.compile(r"/status/(\d+)/")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """A running registry. A context manager."""

    def __init__(
        self, archive: Path, *, listener: socket.socket, names: frozenset[str], certificate: Path | None = None
    ) -> None:
        """`certificate` is a PEM file with certificate and key; without it the registry speaks plain HTTP."""
        self.names = names
        self.requests: list[str] = []
        """Method and path of each request."""
        self.blobs, self.manifest = _contents(archive)
        self.address = "{}:{}".format(*listener.getsockname()[:2])
        self._server = _Server(listener, self, certificate)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def login(self) -> dict[str, object]:
        """The login to `private/`, in the form of Docker's config.json."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {"auths": {self.address: {"auth": auth}}}


def make_certificate(folder: Path) -> Path:
    """Return a PEM file with a key and a certificate that nobody trusts."""
    path = folder / "untrusted.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [*argv, "-keyout", path, "-out", path.with_suffix(".crt"), "-subj", "/CN=untrusted"], check=True, capture_output=True
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, registry: Registry, certificate: Path | None) -> None:
        self.registry = registry
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        self.server_activate()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients that do not trust the certificate hang up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Write no log."""

    def do_GET(self) -> None:
        registry = self.server.registry
        registry.requests.append(f"{self.command} {self.path}")
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        found = _PATH.fullmatch(self.path.partition("?")[0])
        name = found["name"] if found else ""
        if "/private/" in f"/{name}" and self.headers.get("Authorization") != f"Basic {wanted}":
            self._answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
        elif (status := _STATUS.search(f"/{name}/")) is not None:
            self._answer(int(status[1]), b'{"errors":[{"code":"UNKNOWN","message":"as asked"}]}')
        elif not found:
            self._answer(200, b"{}")
        elif name not in registry.names:
            self._answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}')
        elif found["kind"] == "manifests":
            self._answer(200, registry.manifest, kind=_MANIFEST)
        elif found["reference"] in registry.blobs:
            self._answer(200, registry.blobs[found["reference"]], kind="application/octet-stream")
        else:
            self._answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}')

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def _answer(self, status: int, content: bytes, *, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _contents(archive: Path) -> tuple[dict[str, bytes], bytes]:
    """Return the blobs of an archive's first image by digest, and its manifest."""
    with tarfile.open(archive) as tar:

        def read(name: str) -> bytes:
            member = tar.extractfile(name)
            assert member is not None
            return member.read()

        (image, *_) = json.loads(read("manifest.json"))
        config, layers = read(image["Config"]), [read(name) for name in image["Layers"]]
    blobs = {f"sha256:{hashlib.sha256(content).hexdigest()}": content for content in (config, *layers)}
    (own, *digests) = blobs
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": own, "size": len(config)},
        "layers": [
            {"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": digest, "size": len(layer)}
            for digest, layer in zip(digests, layers, strict=True)
        ],
    }
    return blobs, json.dumps(manifest).encode()
