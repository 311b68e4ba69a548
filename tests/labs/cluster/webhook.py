"""A webhook for pods, on loopback of the cluster's network: what it answers is asked for by the pod's own image.

`localhost/hook/KIND/…` in an image decides: `silent` and `words` deny, `code` denies with a status of its own, `sizes` and
`labels` deny with other reasons, `hang`, `garbage` and `status` fail. All else is allowed. If it may change pods, `secret`
and `volume` mount something that is not there, as what a cluster injects may be.
Source: Kubernetes admission.k8s.io/v1, AdmissionReview; admissionregistration.k8s.io/v1.
"""

import base64
import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

NAME = "pods.hook.example"
_DENIALS: dict[str, dict[str, Any]] = {
    "silent": {},
    "words": {"message": "not on our list"},
    "code": {"message": "this image has no signature", "code": 400},
    "sizes": {"message": "container build asks for too much memory"},
    "labels": {"message": "the label team is missing"},
}
_MOUNTS = {
    "secret": {"secret": {"secretName": "not-there"}},
    "volume": {"hostPath": {"path": "/not-there", "type": "Directory"}},
}
_HANG_SECONDS = 3.0


class Webhook:
    """A running webhook. A context manager."""

    def __init__(self, folder: Path, *, listener: socket.socket) -> None:
        certificate = _make_certificate(folder)
        self._authority = certificate.read_text()
        self._port = listener.getsockname()[1]
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.socket.close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        listener.listen()
        self._server.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def configuration(self, namespace: str, *, changes_pods: bool = False) -> dict[str, Any]:
        """Return the object that has the API server ask it about new pods of a namespace."""
        client = {"url": f"https://127.0.0.1:{self._port}/", "caBundle": base64.b64encode(self._authority.encode()).decode()}
        hook = {
            "name": NAME, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail", "timeoutSeconds": 1,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }  # fmt: skip
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration" if changes_pods else "ValidatingWebhookConfiguration",
            "metadata": {"name": f"hook-{namespace}"}, "webhooks": [hook],
        }  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request; http.server's names for the methods."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        image = review["request"]["object"]["spec"]["containers"][0]["image"]
        kind = image.partition("/hook/")[2].partition("/")[0]
        if kind == "hang":
            time.sleep(_HANG_SECONDS)
        answer = {"uid": review["request"]["uid"], "allowed": kind not in _DENIALS}
        if _DENIALS.get(kind):
            answer["status"] = _DENIALS[kind]
        if kind in _MOUNTS:
            answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(_patch(kind)).encode()).decode()}
        text = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})
        content = b"<html>" if kind == "garbage" else text.encode()
        self.send_response(502 if kind == "status" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the API server does not wait for `hang`
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _patch(kind: str) -> list[dict[str, Any]]:
    volume = {"name": "injected", **_MOUNTS[kind]}
    mount = {"name": "injected", "mountPath": "/injected"}
    places = (("/spec/volumes/-", volume), ("/spec/containers/0/volumeMounts/-", mount))
    return [{"op": "add", "path": path, "value": value} for path, value in places]


def _make_certificate(folder: Path) -> Path:
    path = folder / "hook.crt"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=hook", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path.with_suffix(".key"))]
    subprocess.run([*argv, "-out", str(path)], check=True, capture_output=True)
    return path
