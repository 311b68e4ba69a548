"""The size table in a Kubernetes ConfigMap: compressed, in `binaryData`, replaced only if it is still the one that was read.

The manager mounts the ConfigMap as a folder, so the table is a file there. Access is the official client's: the kubeconfig
of $KUBECONFIG or of the user, in a pod its service account. Needs `get` and `update` of this one object, and `create` where
it is not there yet. Source: Kubernetes API, ConfigMap v1: at most 1 MiB, all keys and names included.
"""

import base64
import binascii
import json
import re
from typing import Any

import kubernetes
import urllib3.exceptions

from sizing.errors import BadRequest, Overtaken, SourceError, TooLarge
from sizing.size_table import pack

KEY = "sizes.json.gz"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SECONDS = (10, 60)
"""To connect, to answer."""


class ConfigMap:
    """One ConfigMap, which may have other keys: they stay."""

    most_bytes: int | None = 900 << 10
    """1 MiB is the API server's limit for the object, in which base64 does not count."""

    def __init__(self, place: str, *, api: Any = None) -> None:
        """Take `NAMESPACE/NAME`. `api` is a `CoreV1Api`, by default that of the environment. Raises BadRequest."""
        self._namespace, _, self._name = place.partition("/")
        if not (_NAMESPACE.fullmatch(self._namespace) and _NAME.fullmatch(self._name)):
            raise BadRequest(f"--config-map {place}: give NAMESPACE/NAME, such as spack-farm/spack-farm-sizes")
        self.name = f"the ConfigMap {place}"
        self._api = api or _access()
        self._found: dict[str, Any] | None = None

    def read(self) -> bytes | None:
        """Return the table, and remember what may be replaced. Raises SourceError."""
        try:
            answer = self._api.read_namespaced_config_map(
                self._name, self._namespace, _preload_content=False, _request_timeout=_SECONDS
            )
            self._found = _object(json.loads(answer.data))
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                self._found = None
                return None
            raise SourceError(f"{self.name} can't be read: {_reason(error)}") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise SourceError(f"{self.name} can't be read: {error}") from error
        content = (self._found.get("binaryData") or {}).get(KEY)
        if content is None:
            text = (self._found.get("data") or {}).get(KEY)
            return None if text is None else str(text).encode()
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise SourceError(f"{self.name} can't be read: {KEY} is not base64: {error}") from error

    def write(self, content: bytes) -> None:
        """Replace what was read, or make the ConfigMap. Raises TooLarge, Overtaken, SourceError."""
        packed = pack(content)
        if self.most_bytes is not None and len(packed) > self.most_bytes:
            raise TooLarge(
                f"{self.name} is left as it is: the table has {len(packed) >> 10:,} KiB compressed, and a ConfigMap takes"
                f" {self.most_bytes >> 10}; write it to a volume or to s3:// with --output, see docs/sizing.md"
            )
        body = self._body(base64.b64encode(packed).decode())
        try:
            if self._found is None:
                self._api.create_namespaced_config_map(self._namespace, body, _request_timeout=_SECONDS)
            else:
                self._api.replace_namespaced_config_map(self._name, self._namespace, body, _request_timeout=_SECONDS)
        except kubernetes.client.ApiException as error:
            if error.status == 409:
                raise Overtaken(f"{self.name} was changed by another writer meanwhile: run this again") from error
            raise SourceError(f"{self.name} can't be written: {_reason(error)}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"{self.name} can't be written: {error}") from error

    def _body(self, encoded: str) -> dict[str, Any]:
        """Return the object as it is to be: what was read, its resourceVersion included, with the new table."""
        if self._found is None:
            metadata = {"name": self._name, "namespace": self._namespace, "labels": _LABELS}
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {KEY: encoded}}
        body = dict(self._found)
        body["metadata"] = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
        body["binaryData"] = {**(body.get("binaryData") or {}), KEY: encoded}
        # a key is in one of the two, or the API server rejects the object
        body["data"] = {key: value for key, value in (body.get("data") or {}).items() if key != KEY}
        return body


_LABELS = {"app.kubernetes.io/name": "spack-farm", "app.kubernetes.io/component": "sizing"}


def _access() -> Any:
    """Return the API by a kubeconfig, else by the pod's service account. Raises BadRequest."""
    try:
        try:
            kubernetes.config.load_kube_config()
        except kubernetes.config.ConfigException as no_file:
            try:
                kubernetes.config.load_incluster_config()
            except kubernetes.config.ConfigException:
                raise no_file from None
    except Exception as error:  # a broken kubeconfig makes the client raise anything
        reason = " ".join(str(error).split())[:300]
        raise BadRequest(f"--config-map: no access to a cluster: {reason}; set KUBECONFIG, or run in a pod") from error
    return kubernetes.client.CoreV1Api()


def _object(answer: Any) -> dict[str, Any]:
    """Return what the API server has answered. Raises ValueError if it is not a ConfigMap, such as a proxy's words."""
    of: dict[str, Any] = answer if isinstance(answer, dict) else {}
    parts = [of.get("metadata"), of.get("data") or {}, of.get("binaryData") or {}]
    if not all(isinstance(part, dict) and isinstance(part.get(KEY, ""), str) for part in parts):
        raise ValueError("the answer is not a ConfigMap")
    return of


def _reason(error: Any) -> str:
    """Return what the API server says, in one line."""
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    return f"{error.status}: {' '.join(str(message).split())[:300]}"
