"""What a pod's status means for a job. Pure.

Source: Kubernetes API v1 PodStatus; kubelet's container reasons (pkg/kubelet/images/types.go, kuberuntime).
"""

import enum
import re

import msgspec

from executor import names
from executor.errors import Unavailable
from executor.pull_errors import PULL_REASONS, PullFault, pull_cause, pull_fault
from executor.waiting_reason import (
    FITS_NO_TYPE,
    ON_A_NODE,
    UNKNOWN,
    WaitingReason,
    expected_text,
    never_fits_message,
    read_waiting_reason,
    waiting_message,
)


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
    annotations: dict[str, str] = {}
    deletion_grace_period_seconds: int | None = None


class _Container(msgspec.Struct, frozen=True):
    name: str = ""
    image: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    containers: list[_Container] = []


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

    def image(self, name: str) -> str:
        """Return the image of a container, as the pod names it."""
        return next((one.image for one in self.spec.containers if one.name == name), "")

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
    pull_of: str = ""
    """The container whose image could not be pulled."""
    pull: PullFault | None = None
    cause: str = ""
    """Why a pull fails, in the runtime's words; "" if the status does not say, as those of older kubelets at times."""
    lasting: "Progress | None" = None
    """What it has come to if kubelet's next tries, or the autoscaler's next decisions, change nothing."""
    waiting: str = ""
    """The autoscaler's reason for the wait, a word of a closed list; "" if it has given none."""


_LONGEST_TEXT, _HEAD = 600, 200
_CONTAINERS = ("build", "helper")
_STARTING = frozenset({"CreateContainerError", "RunContainerError"})
"""Kubelet tries these again: the node may only be busy."""
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
_BUSY = re.compile(
    r"deadline exceeded|is reserved for|transport:|dial unix|resource temporarily unavailable|device or resource busy"
    r"|no space left|cannot allocate memory|too many open files|OOM",
    re.IGNORECASE,
)
"""What a node says that has too much to do, or whose runtime is being restarted."""
_IMAGES_OWN = re.compile(  # the kernel's reasons that a node's own paths do not give, then those of runtimes
    r"\b(?:not a directory|is a directory|too many levels of symbolic links|file name too long)\b"
    r"|\b(?:must be|not) an? absolute|\b(?:no users found|unable to find (?:user|group)|uids and gids must be in range)\b"
    r"|\bno matching entries in (?:passwd|group)|\binvalid environment|\benvironment variable name\b",
    re.IGNORECASE,
)
"""Why a container cannot be made or started from its image: a file where a folder is mounted, a user that is not there."""
_NO_PROGRAM = re.compile(  # runc's text, then crun's, then the kernel's about a missing interpreter
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


def progress(  # noqa: PLR0913 (a pod, and what of it the job has chosen)
    pod: Pod,
    *,
    size_text: str = "",
    job_named_image: bool = True,
    has_entrypoint: bool = False,
    sizes_of_job: frozenset[str] = frozenset(),
    now: float = 0.0,
) -> Progress:
    """Return how far a new pod has come.

    `size_text` is its size, for the message while no node has room. If `job_named_image`, it is the job's failure if the
    build container's image cannot be pulled. `has_entrypoint` says that the job's own program starts the build container: if
    that ends, the job has failed. `sizes_of_job` are the resources whose sizes are not the operator's defaults: it is the
    job's failure if no node is large enough for them. `now` is Unix time, for what is expected.
    """
    if has_entrypoint and (failure := _entrypoint_failure(pod)):
        return failure
    if pod.is_finished or pod.is_terminating:
        return Progress(StartupStep.FAILED, pod.status.message or pod.status.reason or f'pod status is "{pod.status.phase}"')
    reason = read_waiting_reason(pod.metadata.annotations.get(names.WAITING, ""))
    unscheduled = pod.condition("PodScheduled", "False")
    if unscheduled is not None:
        scheduler = f"waiting: {_scheduler_reason(unscheduled.message)}{size_text}"
        return _unscheduled(scheduler, reason, sizes_of_job, now)
    states = {name: pod.container(name) for name in _CONTAINERS}
    by_image = StartupStep.REFUSED if job_named_image else StartupStep.FAILED
    for name, state in states.items():
        failure = _failure(name, state, by_image if name == "build" else StartupStep.FAILED, image=pod.image(name))
        if failure is not None:
            return failure
    if all(state.running is not None for state in states.values()):
        return Progress(StartupStep.READY, "ready")
    if pod.condition("PodScheduled") is None:
        return Progress(StartupStep.SCHEDULING, "waiting for the scheduler")
    where = f" on node {pod.spec.node_name}" if pod.spec.node_name else ""
    if (tried := _tried_again(states, by_image)) is not None:
        return tried
    # The status does not say that a volume cannot be mounted. A reason for having no node is of before the pod had one.
    if reason is not None and reason.reason in ON_A_NODE:
        return Progress(StartupStep.ON_NODE, waiting_message(reason, now=now), waiting=reason.reason)
    return Progress(StartupStep.ON_NODE, f"pulling images and starting containers{where}")


def _unscheduled(scheduler: str, reason: WaitingReason | None, sizes_of_job: frozenset[str], now: float) -> Progress:
    """Return why a pod has no node: the autoscaler's reason, else the scheduler's."""
    if reason is None or (reason.reason == UNKNOWN and not reason.detail):
        return Progress(StartupStep.SCHEDULING, scheduler)
    if reason.reason == UNKNOWN:
        text = f"{scheduler}; the autoscaler: {reason.detail}{expected_text(reason, now=now)}"
        return Progress(StartupStep.SCHEDULING, text, waiting=UNKNOWN)
    lasting = None
    if reason.reason == FITS_NO_TYPE:
        is_jobs = bool(sizes_of_job & set(reason.exceeds)) if reason.exceeds else bool(sizes_of_job)
        step = StartupStep.REFUSED if is_jobs else StartupStep.FAILED
        lasting = Progress(step, never_fits_message(reason, is_jobs_size=is_jobs), waiting=FITS_NO_TYPE)
    return Progress(StartupStep.SCHEDULING, waiting_message(reason, now=now), lasting=lasting, waiting=reason.reason)


def _tried_again(states: dict[str, ContainerState], by_image: StartupStep) -> Progress | None:
    """Return what kubelet tries again, if it does.

    On a node that has started the helper, what keeps the build container from starting is most likely in its image.
    """
    for name, state in states.items():
        if state.waiting and (state.waiting.reason in PULL_REASONS or state.waiting.reason == "ImageInspectError"):
            return pull_retried(name, state.waiting.message)
        if state.waiting and state.waiting.reason in _STARTING:
            reason = f"{state.waiting.reason}: {_short(state.waiting.message)}"
            beside_helper = name == "build" and states["helper"].running and not _BUSY.search(state.waiting.message)
            lasting = Progress(by_image, _not_from_image(name, reason)) if beside_helper else None
            text = f"waiting: container {name} does not start, trying again: {reason}"
            return Progress(StartupStep.STARTING, text, lasting=lasting)
    return None


def _entrypoint_failure(pod: Pod) -> Progress | None:
    """Return that the entrypoint has ended, if it has by itself: neither by a deletion, nor because it is missing."""
    ended = pod.container("build").terminated
    if ended is None or pod.is_terminating or ended.reason in _NOT_STARTED:
        return None
    return Progress(StartupStep.REFUSED, entrypoint_ended(ended))


def entrypoint_ended(ended: Ended) -> str:
    """Return the message about an entrypoint that has ended instead of starting its arguments."""
    code = f"exit code {ended.exit_code}" + (f", {ended.reason}" if ended.reason not in {"", "Error", "Completed"} else "")
    return f'the build container\'s entrypoint ended ({code}) and did not start its arguments; end it with `exec "$@"`'


def deletion_reason(pod: Pod) -> str:
    """Return why a terminating pod is deleted, and within how many seconds; "" for any other pod."""
    if not pod.is_terminating:
        return ""
    disruption = pod.condition("DisruptionTarget")
    reason = f"{disruption.reason}: {disruption.message}" if disruption else "it was deleted"
    grace = pod.metadata.deletion_grace_period_seconds
    return reason.strip(": ") + (f"; it has {grace} s left" if grace is not None else "")


def pull_retried(name: str, message: str, *, note: str = "") -> Progress:
    """Return that a container's image could not be pulled, and that the kubelet tries again."""
    cause = _short(pull_cause(message))
    text = f"waiting: image pull failed, trying again: {cause}".removesuffix(": ") + note
    return Progress(StartupStep.PULLING, text, pull_of=name, pull=PullFault.PASSES, cause=cause)


def pull_failure(name: str, reason: str, message: str, by_image: StartupStep, *, image: str) -> Progress | None:
    """Return that a container's image will never be pulled; None if it may be, or the reason is about another thing."""
    fault = pull_fault(reason, message, image=image)
    if fault in {None, PullFault.PASSES}:
        return None
    cause = _short(pull_cause(message))
    text = f"image pull failed: {cause or reason}"
    if fault is PullFault.UNTRUSTED:
        text += (
            "; the nodes do not trust this registry: give them its certificate's authority, or a registry that they trust"
        )
        return Progress(StartupStep.FAILED, text, pull_of=name, pull=fault, cause=cause)
    return Progress(by_image, text, pull_of=name, pull=fault, cause=cause)


def _failure(name: str, state: ContainerState, by_image: StartupStep, *, image: str) -> Progress | None:
    """Return why a container will never run; None if it still may."""
    if state.terminated is not None:
        ended = state.terminated
        if ended.reason in _NOT_STARTED and _NO_PROGRAM.search(ended.message):
            return Progress(by_image, _no_program(name, ended.message))
        if ended.reason in _NOT_STARTED and _IMAGES_OWN.search(ended.message):
            return Progress(by_image, _not_from_image(name, _short(ended.message)))
        reason = f"{ended.reason}, exit code {ended.exit_code} {_short(ended.message)}".strip()
        return Progress(StartupStep.FAILED, f"container {name} ended before the job began: {reason}")
    if state.waiting is None:
        return None
    reason, message = state.waiting.reason, state.waiting.message
    failed = pull_failure(name, reason, message, by_image, image=image)
    if failed is not None:
        return failed
    if reason in _STARTING and _NO_PROGRAM.search(message):
        return Progress(by_image, _no_program(name, message))
    if reason in _STARTING and _IMAGES_OWN.search(message):
        return Progress(by_image, _not_from_image(name, _short(message)))
    if reason == "CreateContainerConfigError":  # such as a missing secret, or a user that is not allowed
        return Progress(StartupStep.FAILED, f"container {name}: {reason}: {_short(message)}")
    return None


def _no_program(name: str, message: str) -> str:
    return f"the first program of container {name} cannot be started: {_short(message)}; see the image's or job's entrypoint"


def _not_from_image(name: str, reason: str) -> str:
    return f"container {name} cannot be started from its image: {reason}; see the image's user, folders and variables"


def _scheduler_reason(message: str) -> str:
    """Return the scheduler's message without its remarks on preemption."""
    reason = re.split(r"\. ?(?:preemption|no new claims)", message, maxsplit=1)[0]
    return _short(reason.replace("nodes are available", "nodes").rstrip("."))


def _short(text: str) -> str:
    """Return a message in one line, without its middle if it is long: a runtime's reason comes last."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_HEAD]} … {line[_HEAD - _LONGEST_TEXT :]}"


def _without_nulls(value: object) -> object:
    """Return the document without nulls, which the API uses for absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
