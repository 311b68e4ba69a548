"""What a pod's status says, in the few ways that matter to a job. Pure.

Source: Kubernetes API v1 PodStatus; kubelet's container reasons (pkg/kubelet/images/types.go, kuberuntime). Image errors
carry no code: registries' words are all there is, so they are compared, and what is unknown counts as passing.
"""

import enum
import re

import msgspec

from executor.errors import Unavailable


class Running(msgspec.Struct, frozen=True):
    """A container that runs."""


class Waiting(msgspec.Struct, frozen=True):
    """A container that does not run yet."""

    reason: str = ""
    message: str = ""


class Ended(msgspec.Struct, frozen=True, rename="camel"):
    """A container that has ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(msgspec.Struct, frozen=True):
    """One of the three is set."""

    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Ended | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename={"image_id": "imageID"}):
    """One container."""

    name: str = ""
    state: ContainerState = ContainerState()
    image_id: str = ""
    """The image that the node has pulled: `REPOSITORY@sha256:…`, or its id alone; some runtimes put a scheme before it."""


class Condition(msgspec.Struct, frozen=True):
    """One condition of the pod."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: str = ""
    """When kubelet took the pod on."""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    resource_version: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class Pod(msgspec.Struct, frozen=True):
    """A pod as the API server tells it."""

    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def is_over(self) -> bool:
        """Whether the pod will never run anything again."""
        return self.status.phase in {"Failed", "Succeeded"}

    @property
    def is_going(self) -> bool:
        """Whether the pod has been told to go, and has its grace."""
        return bool(self.metadata.deletion_timestamp) or self.condition("DisruptionTarget") is not None

    def condition(self, kind: str, status: str = "True") -> Condition | None:
        """Return the condition of a type and status, if it is there."""
        return next((one for one in self.status.conditions if one.type == kind and one.status == status), None)

    def container(self, name: str) -> ContainerState:
        """Return the state of a container; an empty one before there is any."""
        return self._container(name).state

    def image_digest(self, name: str) -> str:
        """Return what the node has pulled for a container; "" if it does not say."""
        return self._container(name).image_id.rpartition("://")[2]

    def _container(self, name: str) -> ContainerStatus:
        found = (one for one in self.status.container_statuses if one.name == name)
        return next(found, ContainerStatus())


class Stand(enum.Enum):
    """How far a pod has come."""

    SCHEDULING = "waiting for a node"
    COMING = "pulling images or starting containers"
    """On its node; the status alone does not tell which of the two."""
    PULLING = "pulling images"
    STARTING = "starting containers"
    READY = "ready"
    REFUSED = "will never start, because of the job"
    FAILED = "will never start"


class Progress(msgspec.Struct, frozen=True):
    """How far a pod has come, in words for the job log."""

    stand: Stand
    words: str


_CONTAINERS = ("build", "helper")
_STARTING = frozenset({"CreateContainerError", "RunContainerError"})
"""What kubelet tries again: the node may only be busy."""
_PASSING = re.compile(
    r"dial tcp|timeout|timed out|deadline exceeded"
    r"|no such host|connection re|network is unreachable|tls handshake"
    r"|\b(unexpected )?eof\b|too ?many ?requests|\b429\b|\b50[0234]\b"
    r"|service unavailable|server misbehaving|temporary failure",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"not found|manifest unknown|does not exist|unauthorized|denied|forbidden|insufficient_scope|no match for platform"
    r"|no matching manifest|authentication required|authorization failed|\b40[134]\b",
    re.IGNORECASE,
)
_NO_SHELL = re.compile(  # runc's words, then crun's, then the kernel's on an interpreter that is not there
    r'exec: "?[^"]*"?: (executable file not found|stat .*: no such file|permission denied)'
    r"|executable file `?[^` ]*`? not found|\bexec `?/[^ ]*`?: no such file or directory",
    re.IGNORECASE,
)


msgspec.json.Decoder(Pod)  # builds what decoding needs: msgspec crashes where two threads do that at once (0.22)


def read_pod(document: object) -> Pod:
    """Return a pod from the API's JSON; what is missing is empty. Raises Unavailable if it is no pod."""
    try:
        return msgspec.convert(_without_nulls(document), Pod)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unavailable(f"the API server tells of a pod what no pod can be: {error}") from error


def progress(pod: Pod, *, asked: str = "") -> Progress:
    """Return how far a new pod has come. `asked` are words for its size, told while no node has room."""
    if pod.is_over or pod.is_going:
        return Progress(Stand.FAILED, pod.status.message or pod.status.reason or f'pod status is "{pod.status.phase}"')
    unscheduled = pod.condition("PodScheduled", "False")
    if unscheduled is not None:
        return Progress(Stand.SCHEDULING, f"waiting: {_scheduler_words(unscheduled.message)}{asked}")
    states = {name: pod.container(name) for name in _CONTAINERS}
    for name, state in states.items():
        trouble = _trouble(name, state)
        if trouble is not None:
            return trouble
    if all(state.running is not None for state in states.values()):
        return Progress(Stand.READY, "ready")
    if pod.condition("PodScheduled") is None:
        return Progress(Stand.SCHEDULING, "waiting for the scheduler")
    for name, state in states.items():
        if state.waiting and "Pull" in state.waiting.reason:
            return Progress(Stand.PULLING, f"waiting: image pull failed, trying again: {_short(state.waiting.message)}")
        if state.waiting and state.waiting.reason in _STARTING:
            told = f"{state.waiting.reason}: {_short(state.waiting.message)}"
            return Progress(Stand.STARTING, f"waiting: container {name} does not start, trying again: {told}")
    return Progress(Stand.COMING, "pulling images and starting containers")


def notice(pod: Pod) -> str:
    """Return why and within how many seconds a pod goes; "" if it stays."""
    if not pod.is_going:
        return ""
    disruption = pod.condition("DisruptionTarget")
    why = f"{disruption.reason}: {disruption.message}" if disruption else "it was deleted"
    grace = pod.metadata.deletion_grace_period_seconds
    return why.strip(": ") + (f"; it has {grace} s left" if grace is not None else "")


def _trouble(name: str, state: ContainerState) -> Progress | None:
    """Return why a container will never run; None if it may."""
    if state.terminated is not None:
        told = state.terminated
        if told.reason in {"StartError", "ContainerCannotRun"} and _NO_SHELL.search(told.message):
            words = (
                f"the {name} image cannot start a shell: {_short(told.message)}; jobs need an image with a POSIX shell `sh`"
            )
            return Progress(Stand.REFUSED if name == "build" else Stand.FAILED, words)
        words = (
            f"container {name} ended before the job began: {told.reason}, exit code {told.exit_code} {_short(told.message)}"
        )
        return Progress(Stand.FAILED, words.strip())
    if state.waiting is None:
        return None
    reason, message = state.waiting.reason, state.waiting.message
    refused = Stand.REFUSED if name == "build" else Stand.FAILED
    if reason in {"InvalidImageName", "ErrImageNeverPull"}:
        return Progress(refused, f"image pull failed: {_short(message) or reason}")
    if reason in {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}:
        if _FINAL.search(message) and not _PASSING.search(message):
            return Progress(refused, f"image pull failed: {_short(message)}")
        return None
    if reason in _STARTING and _NO_SHELL.search(message):
        return Progress(refused, f"the {name} image cannot start a shell: {_short(message)}; jobs need a POSIX shell `sh`")
    if reason == "CreateContainerConfigError":  # a secret that is not there, a user that is not allowed
        return Progress(Stand.FAILED, f"container {name}: {reason}: {_short(message)}")
    return None


def _scheduler_words(message: str) -> str:
    """Return the scheduler's message without its remarks on preemption."""
    words = re.split(r"\. ?(?:preemption|no new claims)", message, maxsplit=1)[0]
    return _short(words.replace("nodes are available", "nodes").rstrip("."))


def _short(text: str) -> str:
    return " ".join(text.split())[:600]


def _without_nulls(value: object) -> object:
    """Return the document without nulls, which the API uses for absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
