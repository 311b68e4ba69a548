"""The Kubernetes API through the official client, as bytes: what is read is decoded by its reader, and only that.

Errors are classified once, by status. The client's own models are not built: with 10,000 pods they would cost more than the
decision. Retries only what may be repeated. Source: Kubernetes API conventions, `Status`.
"""

import contextlib
import functools
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import urllib3
import yaml
from kubernetes import client, config

from autoscaler.cluster.objects import Page
from autoscaler.errors import (
    BadRequest,
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Expired,
    NotFound,
    NotPermitted,
)

JsonObject = dict[str, Any]
_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")
PAGE = 500
WATCH_SECONDS = 30
"""A watch that says nothing ends after it, and is begun again: so a cut connection is noticed within it."""
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_WATCH_READ_SECONDS = WATCH_SECONDS + 15.0
_LONGEST_LINE = 8 << 20
_LONGEST_MESSAGE = 500
_TRIES = 4
_BY_STATUS: dict[int, type[ClusterError]] = {
    401: NotPermitted,
    403: NotPermitted,
    404: NotFound,
    409: Conflict,
    410: Expired,
    429: ClusterUnavailable,
}
NODECLAIMS = ("karpenter.sh", "v1", "nodeclaims")


class Api:
    """A connection to the cluster, for use from any thread."""

    def __init__(self, api_client: client.ApiClient, *, namespace: str) -> None:
        self.namespace = namespace
        """Of the autoscaler itself: its lease is there."""
        self.page = PAGE
        """Objects in a page of a list."""
        self.sleep: Callable[[float], None] = time.sleep
        # The client has types since version 36 only, and they do not know that answers may be left unread.
        self.core: Any = client.CoreV1Api(api_client)
        self.leases: Any = client.CoordinationV1Api(api_client)
        self.custom: Any = client.CustomObjectsApi(api_client)

    def pages(self, kind: str, item: type[_Item], **query: Any) -> Iterator[Page[_Item]]:
        """Yield the pages of a list, 500 objects each by default, as one consistent state, read with a quorum.

        Raises Expired if the server no longer has the state of the first page.
        """
        decoder = msgspec.json.Decoder(Page[item])  # type: ignore[valid-type]
        following: dict[str, str] = {}
        while True:
            content = self._read(functools.partial(self._list, kind, limit=self.page, **following, **query))
            page = decoded(decoder, content, kind)
            yield page
            if not page.metadata.following:
                return
            following = {"_continue": page.metadata.following}

    def watch(self, kind: str, resource_version: str) -> Iterator[bytes]:
        """Yield the lines of a watch until the server ends it; bookmarks are among them.

        Yields an empty line once the server has accepted it. Raises Expired, ClusterUnavailable, ClusterError.
        """
        answer = _classified(
            lambda: self._list(
                kind, watch=True, resource_version=resource_version, allow_watch_bookmarks=True,
                timeout_seconds=WATCH_SECONDS, _request_timeout=(_CONNECT_SECONDS, _WATCH_READ_SECONDS),
            )
        )  # fmt: skip
        try:
            yield b""
            yield from _lines(answer)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterUnavailable(f"the watch of {kind} broke: {error!r}"[:_LONGEST_MESSAGE]) from error
        finally:
            with contextlib.suppress(Exception):
                answer.close()

    def get_node(self, name: str) -> bytes:
        """Return a node, not from a cache. Raises NotFound, ClusterError."""
        return self._read(lambda: self.core.read_node(name, _preload_content=False, _request_timeout=_timeout()))

    def patch_node(self, name: str, body: JsonObject) -> None:
        """Patch a node once; with a resourceVersion only if it is still that one. Raises Conflict, NotFound."""
        _content(lambda: self.core.patch_node(name, body, _preload_content=False, _request_timeout=_timeout()))

    def create_node(self, body: JsonObject) -> None:
        """Create a node object; one of that name that is there already is success."""
        with contextlib.suppress(Conflict):
            _content(lambda: self.core.create_node(body, _preload_content=False, _request_timeout=_timeout()))

    def delete_node(self, name: str, *, uid: str = "") -> None:
        """Delete a node object, only if it is still this one; absence is success."""
        options = _only(uid)
        with contextlib.suppress(NotFound):
            _content(lambda: self.core.delete_node(name, body=options, _preload_content=False, _request_timeout=_timeout()))

    def patch_pod(self, namespace: str, name: str, body: JsonObject) -> None:
        """Patch a pod; absence is success: it has ended meanwhile."""
        with contextlib.suppress(NotFound):
            _content(
                lambda: self.core.patch_namespaced_pod(
                    name, namespace, body, _preload_content=False, _request_timeout=_timeout()
                )
            )

    def create_pod(self, namespace: str, body: JsonObject) -> None:
        """Create a pod; one of that name that is there already is success."""
        with contextlib.suppress(Conflict):
            _content(
                lambda: self.core.create_namespaced_pod(namespace, body, _preload_content=False, _request_timeout=_timeout())
            )

    def delete_pod(self, namespace: str, name: str, *, uid: str) -> None:
        """Delete a pod with its own grace, only if it is still this one; absence is success."""
        with contextlib.suppress(NotFound):
            _content(
                lambda: self.core.delete_namespaced_pod(
                    name, namespace, body=_only(uid), _preload_content=False, _request_timeout=_timeout()
                )
            )

    def create_event(self, namespace: str, body: JsonObject) -> None:
        """Create an event, once."""
        _content(
            lambda: self.core.create_namespaced_event(namespace, body, _preload_content=False, _request_timeout=_timeout())
        )

    def create_nodeclaim(self, body: JsonObject) -> None:
        """Create a NodeClaim; one of that name that is there already is success."""
        with contextlib.suppress(Conflict):
            _content(
                lambda: self.custom.create_cluster_custom_object(
                    *NODECLAIMS, body, _preload_content=False, _request_timeout=_timeout()
                )
            )

    def delete_nodeclaim(self, name: str, *, uid: str) -> None:
        """Delete a NodeClaim, only if it is still this one; absence is success."""
        with contextlib.suppress(NotFound):
            _content(
                lambda: self.custom.delete_cluster_custom_object(
                    *NODECLAIMS, name, body=_only(uid), _preload_content=False, _request_timeout=_timeout()
                )
            )

    def create_pod_template(self, body: JsonObject) -> None:
        """Create a PodTemplate in our namespace; one of that name that is there already is success."""
        with contextlib.suppress(Conflict):
            _content(
                lambda: self.core.create_namespaced_pod_template(
                    self.namespace, body, _preload_content=False, _request_timeout=_timeout()
                )
            )

    def delete_pod_template(self, name: str) -> None:
        """Delete a PodTemplate of our namespace; absence is success."""
        with contextlib.suppress(NotFound):
            _content(
                lambda: self.core.delete_namespaced_pod_template(
                    name, self.namespace, _preload_content=False, _request_timeout=_timeout()
                )
            )

    def list_custom(self, group: str, version: str, plural: str, item: type[_Item], *, label_selector: str) -> list[_Item]:
        """Return the objects of a kind in our namespace. Raises NotFound if the cluster does not know the kind."""
        call = functools.partial(
            self.custom.list_namespaced_custom_object, group, version, self.namespace, plural,
            label_selector=label_selector, _preload_content=False, _request_timeout=_timeout(),
        )  # fmt: skip
        return decoded(msgspec.json.Decoder(Page[item]), self._read(call), plural).items  # type: ignore[valid-type]

    def create_custom(self, group: str, version: str, plural: str, body: JsonObject) -> None:
        """Create an object in our namespace. Raises Conflict if one of that name is there."""
        _content(
            lambda: self.custom.create_namespaced_custom_object(
                group, version, self.namespace, plural, body, _preload_content=False, _request_timeout=_timeout()
            )
        )

    def replace_custom(self, group: str, version: str, plural: str, name: str, body: JsonObject) -> None:
        """Replace an object of our namespace if its resourceVersion is still that of the body. Raises Conflict, NotFound."""
        _content(
            lambda: self.custom.replace_namespaced_custom_object(
                group, version, self.namespace, plural, name, body, _preload_content=False, _request_timeout=_timeout()
            )
        )

    def delete_custom(self, group: str, version: str, plural: str, name: str) -> None:
        """Delete an object of our namespace; absence is success."""
        with contextlib.suppress(NotFound):
            _content(
                lambda: self.custom.delete_namespaced_custom_object(
                    group, version, self.namespace, plural, name, _preload_content=False, _request_timeout=_timeout()
                )
            )

    def get_lease(self, name: str) -> bytes:
        """Return a lease of the autoscaler's namespace, not from a cache. Raises NotFound, ClusterError."""
        return _content(
            lambda: self.leases.read_namespaced_lease(
                name, self.namespace, _preload_content=False, _request_timeout=_timeout()
            )
        )

    def create_lease(self, body: JsonObject) -> None:
        """Create a lease. Raises Conflict if somebody else was faster."""
        _content(
            lambda: self.leases.create_namespaced_lease(
                self.namespace, body, _preload_content=False, _request_timeout=_timeout()
            )
        )

    def replace_lease(self, name: str, body: JsonObject) -> None:
        """Replace a lease if its resourceVersion is still that of the body. Raises Conflict."""
        _content(
            lambda: self.leases.replace_namespaced_lease(
                name, self.namespace, body, _preload_content=False, _request_timeout=_timeout()
            )
        )

    def has_kind(self, group: str, version: str, plural: str) -> bool:
        """Return whether the cluster knows a kind of object, and we may list it."""
        try:
            self._read(
                lambda: self.custom.list_cluster_custom_object(
                    group, version, plural, limit=1, _preload_content=False, _request_timeout=_timeout()
                )
            )
        except (NotFound, NotPermitted):
            return False
        return True

    def _list(self, kind: str, **query: Any) -> Any:
        query = {"_preload_content": False, "_request_timeout": _timeout()} | query
        if kind == "nodeclaims":
            return self.custom.list_cluster_custom_object(*NODECLAIMS, **query)
        call = {
            "pods": self.core.list_pod_for_all_namespaces,
            "nodes": self.core.list_node,
            "events": self.core.list_event_for_all_namespaces,
        }[kind]
        return call(**query)

    def _read(self, call: Callable[[], urllib3.HTTPResponse]) -> bytes:
        """Return the answer of what may be repeated; a server that does not answer is asked again a few times."""
        return with_retries(lambda: _content(call), sleep=self.sleep)


def connect(kubeconfig: str = "", *, namespace: str = "") -> Api:
    """Return a connection: by a kubeconfig, else by the pod's own service account, else by the user's kubeconfig.

    Raises BadRequest if there is none.
    """
    settings = client.Configuration()
    found = namespace
    try:
        if kubeconfig:
            config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
        else:
            try:
                config.load_incluster_config(client_configuration=settings)
            except config.ConfigException:
                config.load_kube_config(client_configuration=settings)
    # The client takes for granted that the file is YAML, and a mapping of mappings.
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        cause = " ".join(str(error).split())
        if kubeconfig:
            cause = cause if Path(kubeconfig).exists() else "there is no such file"
            raise BadRequest(f"the kubeconfig {kubeconfig} can't be used: {cause}; see service.kubeconfig") from error
        raise BadRequest(f"there are no credentials for a cluster: {cause}; set service.kubeconfig") from error
    if not found:
        with contextlib.suppress(OSError), open(_NAMESPACE_FILE, encoding="ascii") as file:  # noqa: PTH123 (one word)
            found = file.read().strip()
    settings.retries = False  # repeated here, where it is known what may be
    return Api(client.ApiClient(configuration=settings), namespace=found or "default")


_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def with_retries(
    call: Callable[[], _Answer],
    *,
    tries: int = _TRIES,
    sleep: Callable[[float], None] = time.sleep,
    dice: Callable[[], float] = random.random,
) -> _Answer:
    """Return what an idempotent call returns; repeat it a few times while the server does not answer.

    Raises the last ClusterUnavailable.
    """
    pause = 0.2
    for left in reversed(range(tries)):
        try:
            return call()
        except ClusterUnavailable:
            if not left:
                raise
        sleep(pause * (0.5 + dice()))
        pause *= 3
    raise AssertionError("unreachable")


def error_of(status: int, content: bytes) -> ClusterError:
    """Return the exception for an answer, with the server's own message."""
    try:
        document = json.loads(content)
        message = str(document.get("message") or "") if isinstance(document, dict) else ""
    except (ValueError, RecursionError):
        message = content[:_LONGEST_MESSAGE].decode("utf-8", "replace")
    kind = ClusterUnavailable if status >= 500 or status == 0 else _BY_STATUS.get(status, ClusterError)
    return kind(f"{message[:_LONGEST_MESSAGE] or 'no message'} ({status})")


def _classified(call: Callable[[], _Answer]) -> _Answer:
    try:
        return call()
    except client.ApiException as error:
        body: Any = error.body  # bytes where the answer was left unread, else text
        raise error_of(error.status or 0, body if isinstance(body, bytes) else str(body or "").encode()) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterUnavailable(f"the API server does not answer: {error!r}"[:_LONGEST_MESSAGE]) from error


def _content(call: Callable[[], urllib3.HTTPResponse]) -> bytes:
    """Return a whole answer; the connection goes back to the pool."""
    answer = _classified(call)
    try:
        return bytes(answer.data)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterUnavailable(f"the API server's answer broke off: {error!r}"[:_LONGEST_MESSAGE]) from error
    finally:
        answer.release_conn()


def _lines(answer: urllib3.HTTPResponse) -> Iterator[bytes]:
    """Yield the lines of an answer as they come; a last one without its end is none."""
    rest = b""
    for piece in answer.stream(1 << 16, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, lines)
        if len(rest) > _LONGEST_LINE:
            raise ClusterUnavailable("the API server sent an event of more than 8 MiB")


def decoded(decoder: msgspec.json.Decoder[_Answer], content: bytes, what: str) -> _Answer:
    """Return what an answer holds. Raises ClusterError if it is something else."""
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ClusterError(f"the API server's answer on {what} cannot be read: {error}") from error


def _only(uid: str) -> JsonObject:
    return {"preconditions": {"uid": uid}} if uid else {}


def _timeout() -> tuple[float, float]:
    return _CONNECT_SECONDS, _READ_SECONDS
