"""What a pod's status means for a job. Pure.

Source: Kubernetes API v1 PodStatus; kubelet's container reasons (pkg/kubelet/images/types.go, kuberuntime). Image errors
have no code, only the registry's text: it is compared, and an unknown text counts as an error that may pass.
"""

import enum
import re

import msgspec

from executor.errors import Unavailable


class Running(msgspec.Struct, frozen=True):
    """A running container."""


class Waiting(msgspec.Struct, frozen=True):
    """A container that has not started."""

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
    """When kubelet accepted the pod."""
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
    """A pod as the API server returns it."""

    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def is_finished(self) -> bool:
        """Whether the pod will never run anything again."""
        return self.status.phase in {"Failed", "Succeeded"}

    @property
    def is_terminating(self) -> bool:
        """Whether the pod is being deleted, evicted or preempted: its grace period runs."""
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


class StartupStep(enum.Enum):
    """How far a new pod has come; the values are parts of messages."""

    SCHEDULING = "waiting for a node"
    ON_NODE = "pulling images or starting containers"
    """The status alone does not say which of the two."""
    PULLING = "pulling images"
    STARTING = "starting containers"
    READY = "ready"
    REFUSED = "will never start, because of the job"
    FAILED = "will never start"


class Progress(msgspec.Struct, frozen=True):
    """How far a new pod has come, with a message for the job log."""

    step: StartupStep
    message: str


_CONTAINERS = ("build", "helper")
_STARTING = frozenset({"CreateContainerError", "RunContainerError"})
"""Kubelet tries these again: the node may only be busy."""
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
_NO_SHELL = re.compile(  # runc's text, then crun's, then the kernel's about a missing interpreter
    r'exec: "?[^"]*"?: (executable file not found|stat .*: no such file|permission denied)'
    r"|executable file `?[^` ]*`? not found|\bexec `?/[^ ]*`?: no such file or directory",
    re.IGNORECASE,
)


msgspec.json.Decoder(Pod)  # msgspec (0.22) crashes if two threads are the first to decode a type: be the first here


def read_pod(document: object) -> Pod:
    """Return a pod from the API's JSON; missing fields are empty. Raises Unavailable if it is not a pod."""
    try:
        return msgspec.convert(_without_nulls(document), Pod)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unavailable(f"the API server returned an invalid pod: {error}") from error


def progress(pod: Pod, *, size_text: str = "") -> Progress:
    """Return how far a new pod has come. `size_text` is its size, for the message while no node has room."""
    if pod.is_finished or pod.is_terminating:
        return Progress(StartupStep.FAILED, pod.status.message or pod.status.reason or f'pod status is "{pod.status.phase}"')
    unscheduled = pod.condition("PodScheduled", "False")
    if unscheduled is not None:
        return Progress(StartupStep.SCHEDULING, f"waiting: {_scheduler_reason(unscheduled.message)}{size_text}")
    states = {name: pod.container(name) for name in _CONTAINERS}
    for name, state in states.items():
        failure = _failure(name, state)
        if failure is not None:
            return failure
    if all(state.running is not None for state in states.values()):
        return Progress(StartupStep.READY, "ready")
    if pod.condition("PodScheduled") is None:
        return Progress(StartupStep.SCHEDULING, "waiting for the scheduler")
    for name, state in states.items():
        if state.waiting and "Pull" in state.waiting.reason:
            return Progress(
                StartupStep.PULLING, f"waiting: image pull failed, trying again: {_short(state.waiting.message)}"
            )
        if state.waiting and state.waiting.reason in _STARTING:
            reason = f"{state.waiting.reason}: {_short(state.waiting.message)}"
            return Progress(StartupStep.STARTING, f"waiting: container {name} does not start, trying again: {reason}")
    return Progress(StartupStep.ON_NODE, "pulling images and starting containers")


def deletion_reason(pod: Pod) -> str:
    """Return why a terminating pod is deleted, and within how many seconds; "" for any other pod."""
    if not pod.is_terminating:
        return ""
    disruption = pod.condition("DisruptionTarget")
    reason = f"{disruption.reason}: {disruption.message}" if disruption else "it was deleted"
    grace = pod.metadata.deletion_grace_period_seconds
    return reason.strip(": ") + (f"; it has {grace} s left" if grace is not None else "")


def _failure(name: str, state: ContainerState) -> Progress | None:
    """Return why a container will never run; None if it still may. The build's image is the job's, the helper's is ours."""
    by_image = StartupStep.REFUSED if name == "build" else StartupStep.FAILED
    if state.terminated is not None:
        ended = state.terminated
        if ended.reason in {"StartError", "ContainerCannotRun"} and _NO_SHELL.search(ended.message):
            return Progress(by_image, _no_shell(name, ended.message))
        reason = f"{ended.reason}, exit code {ended.exit_code} {_short(ended.message)}".strip()
        return Progress(StartupStep.FAILED, f"container {name} ended before the job began: {reason}")
    if state.waiting is None:
        return None
    reason, message = state.waiting.reason, state.waiting.message
    if reason in {"InvalidImageName", "ErrImageNeverPull"}:
        return Progress(by_image, f"image pull failed: {_short(message) or reason}")
    if reason in {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}:
        is_final = _FINAL.search(message) and not _PASSING.search(message)
        return Progress(by_image, f"image pull failed: {_short(message)}") if is_final else None
    if reason in _STARTING and _NO_SHELL.search(message):
        return Progress(by_image, _no_shell(name, message))
    if reason == "CreateContainerConfigError":  # such as a missing secret, or a user that is not allowed
        return Progress(StartupStep.FAILED, f"container {name}: {reason}: {_short(message)}")
    return None


def _no_shell(name: str, message: str) -> str:
    return f"the {name} image cannot start a shell: {_short(message)}; jobs need an image with a POSIX shell `sh`"


def _scheduler_reason(message: str) -> str:
    """Return the scheduler's message without its remarks on preemption."""
    reason = re.split(r"\. ?(?:preemption|no new claims)", message, maxsplit=1)[0]
    return _short(reason.replace("nodes are available", "nodes").rstrip("."))


def _short(text: str) -> str:
    return " ".join(text.split())[:600]


def _without_nulls(value: object) -> object:
    """Return the document without nulls, which the API uses for absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
