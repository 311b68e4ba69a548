"""The life of the fake cluster's pods: a node is found, images are pulled, containers run and end, deletion has its grace.

Source: Kubernetes, "Pod Lifecycle". Status texts are those of real clusters (scheduler, containerd).
"""

import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tests.fakes.kube.containers import Container
from tests.fakes.kube.images import Image, Images
from tests.fakes.kube.store import ApiError, Object, Store
from tests.fakes.kube.streams import CLOSE, STATUS, STDERR, STDIN, STDOUT, Stream, StreamEnded

_NO_SUCH_NODE = (
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: "
    "1 Preemption is not helpful for scheduling."
)


@dataclasses.dataclass
class Life:
    """One pod that is on its way or runs."""

    name: str
    containers: dict[str, Container] = dataclasses.field(default_factory=dict)
    over: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set once every container has ended."""
    gone: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set once the pod is to start nothing more: it was deleted, or the cluster ends."""


class Kubelet:
    """Scheduler and kubelet in one."""

    def __init__(self, store: Store, images: Images, folder: Path) -> None:
        self._store = store
        self._images = images
        self._folder = folder
        self.lives: dict[str, Life] = {}
        self.unschedulable = ""
        """The scheduler's message while no node has room; "" when one has."""
        self.sandbox_trouble = ""
        """The error that keeps new pods from their network; "" for none."""
        self._numbers = itertools.count()

    def start(self, pod: Object) -> None:
        """Begin a pod's life in a thread of its own."""
        life = Life(pod["metadata"]["name"])
        self.lives[life.name] = life
        threading.Thread(target=self._live, args=(life, pod), daemon=True).start()

    def delete(self, name: str, *, grace_seconds: int) -> Object:
        """Delete a pod after a grace period; 0 removes it at once. Raises ApiError 404."""
        life = self.lives.get(name)

        def mark(pod: Object) -> None:
            left = pod["metadata"].get("deletionGracePeriodSeconds", grace_seconds)
            pod["metadata"] |= {
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": min(left, grace_seconds),
            }

        marked = self._store.change("pods", name, mark)
        if life is None or grace_seconds == 0:
            if life is not None:
                life.gone.set()
                threading.Thread(target=_kill, args=(life,), daemon=True).start()
            return self._store.remove("pods", name)
        threading.Thread(target=self._end, args=(life, grace_seconds), daemon=True).start()
        return marked

    def evict(self, name: str) -> None:
        """Evict a pod as the eviction API does, with the grace of its spec."""
        self.disrupt(name, "EvictionByEvictionAPI", "Eviction API: evicting")
        grace: int = self._store.get("pods", name)["spec"]["terminationGracePeriodSeconds"]
        self.delete(name, grace_seconds=grace)

    def disrupt(self, name: str, reason: str, message: str) -> None:
        """Set the condition that announces a disruption."""
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        self._store.change("pods", name, lambda pod: pod["status"].setdefault("conditions", []).append(condition))

    def fail(self, name: str, *, reason: str, message: str) -> None:
        """End a pod as the kubelet does when it evicts it or the node shuts down: containers killed, phase Failed."""
        self._store.change("pods", name, lambda pod: pod["status"].update(phase="Failed", reason=reason, message=message))
        _kill(self.lives[name])

    def execute(self, name: str, container_name: str, command: list[str], stream: Stream) -> None:
        """Run a command in a container over a stream, to the end of either. The command outlives the stream."""
        container = self.container(name, container_name)
        try:
            process = container.run(command, pipes=subprocess.PIPE)
        except FileNotFoundError as error:
            _end(stream, f'error executing command: exec: "{error}": executable file not found in $PATH', None)
            return
        pumps = [
            threading.Thread(target=_pump, args=(process, channel, stream), daemon=True) for channel in (STDOUT, STDERR)
        ]
        for pump in pumps:
            pump.start()
        threading.Thread(target=_reap, args=(process, pumps, stream), daemon=True).start()
        _feed(process, stream)

    def container(self, name: str, container_name: str) -> Container:
        """Return a running container. Raises ApiError, as the API server answers an exec that cannot be."""
        self._store.get("pods", name)
        life = self.lives.get(name)
        container = life.containers.get(container_name) if life else None
        if container is None or not container.is_running:
            raise ApiError(500, "InternalError", f'unable to upgrade connection: container not found ("{container_name}")')
        return container

    def log(self, name: str, container_name: str) -> bytes:
        """Return what a container's first process has printed; it may have ended. Raises ApiError before its start."""
        container = self.lives[name].containers.get(container_name) if name in self.lives else None
        if container is None:
            message = f'container "{container_name}" in pod "{name}" is waiting to start: ContainerCreating'
            raise ApiError(400, "BadRequest", message)
        return container.log.read_bytes()

    def stop(self) -> None:
        """End everything."""
        for life in list(self.lives.values()):
            life.gone.set()
            _kill(life)

    def _live(self, life: Life, pod: Object) -> None:
        try:
            self._schedule(life, pod)
            self._sandbox(life, pod)
            containers = [(spec, self._pull(life, spec)) for spec in pod["spec"]["containers"]]
            self._run(life, pod, containers)
        except ApiError:  # it was deleted meanwhile
            _kill(life)

    def _schedule(self, life: Life, pod: Object) -> None:
        """Wait for a node with room. The only node has no labels."""
        while message := _NO_SUCH_NODE if pod["spec"].get("nodeSelector") else self.unschedulable:
            self._condition(life, "PodScheduled", "False", "Unschedulable", message)
            self._event(life, "FailedScheduling", message)
            while message in {_NO_SUCH_NODE, self.unschedulable} and not life.gone.wait(0.05):
                pass
            if life.gone.is_set():
                raise ApiError(404, "NotFound", life.name)
        self._condition(life, "PodScheduled", "True", "", "")

    def _sandbox(self, life: Life, pod: Object) -> None:
        """Accept the pod and give it its network; an error shows as an event only."""
        self._store.change("pods", life.name, lambda found: found["status"].update(startTime=_now()))
        for spec in pod["spec"]["containers"]:
            self._state(life, spec["name"], {"waiting": {"reason": "ContainerCreating"}})
        reported = ""
        while error := self.sandbox_trouble:
            if error != reported:
                reported = error
                self._event(life, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            if life.gone.wait(0.05):
                raise ApiError(404, "NotFound", life.name)

    def _pull(self, life: Life, spec: Object) -> Image:
        """Pull an image; after an error it reports it and tries again, until the pod is deleted."""
        name, container = spec["image"], spec["name"]
        image = self._images.by_name.get(name)
        if image is not None and not image.pull_errors and image.pull_may_end.is_set():
            message = f'Container image "{name}" already present on machine'
            self._event(life, "Pulled", message, kind="Normal", container=container)
            return image
        self._event(life, "Pulling", f'Pulling image "{name}"', kind="Normal", container=container)
        while True:
            image = self._images.by_name.get(name)
            if image is not None and not image.pull_errors:
                while not image.pull_may_end.wait(0.05):
                    if life.gone.is_set():
                        raise ApiError(404, "NotFound", life.name)
                self._event(life, "Pulled", f'Successfully pulled image "{name}"', kind="Normal", container=container)
                return image
            error = image.pull_errors.pop(0) if image else f'failed to resolve reference "{name}": {name}: not found'
            for reason in ("ErrImagePull", "ImagePullBackOff"):
                message = error if reason == "ErrImagePull" else f'Back-off pulling image "{name}": ErrImagePull: {error}'
                self._state(life, spec["name"], {"waiting": {"reason": reason, "message": message}})
                if life.gone.wait(0.1):
                    raise ApiError(404, "NotFound", life.name)
            self._event(life, "Failed", f'Failed to pull image "{name}": {error}')

    def _run(self, life: Life, pod: Object, containers: list[tuple[Object, Image]]) -> None:
        """Start the containers, and wait until all have ended."""
        uid = pod["metadata"]["uid"]
        waiting = []
        for spec, image in containers:
            container = Container(spec, image, pod_folder=self._folder / uid, uid=uid)
            self._mount(life, pod, container)
            while image.create_errors:
                message = image.create_errors.pop(0)
                self._state(life, container.name, {"waiting": {"reason": "CreateContainerError", "message": message}})
                self._event(life, "Failed", f"Error: {message}", container=container.name)
                if life.gone.wait(0.1):
                    raise ApiError(404, "NotFound", life.name)
            try:
                container.start()
            except FileNotFoundError as error:
                message = f'failed to create containerd task: exec: "{error}": executable file not found in $PATH'
                ended = {"exitCode": 128, "reason": "StartError", "message": message}
                self._state(life, container.name, {"terminated": ended})
                continue
            life.containers[container.name] = container
            waiting.append(threading.Thread(target=self._wait, args=(life, container), daemon=True))
            self._state(life, container.name, {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
        if life.gone.is_set():
            _kill(life)
        self._store.change("pods", life.name, _running)
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        life.over.set()
        self._store.change("pods", life.name, _ended)

    def _mount(self, life: Life, pod: Object, container: Container) -> None:
        """Give a container the files of its config maps; wait for one that is missing."""
        places = {mount["name"]: mount["mountPath"] for mount in container.spec["volumeMounts"]}
        for volume in pod["spec"]["volumes"]:
            if "configMap" not in volume:
                continue
            while (document := self._found("configmaps", volume["configMap"]["name"])) is None:
                self._event(life, "FailedMount", f'MountVolume.SetUp failed for volume "{volume["name"]}": not found')
                if life.gone.wait(0.2):
                    raise ApiError(404, "NotFound", life.name)
            files = {key: text.encode() for key, text in document.get("data", {}).items()}
            files |= {key: base64.b64decode(text) for key, text in document.get("binaryData", {}).items()}
            container.put(places[volume["name"]], files)

    def _found(self, kind: str, name: str) -> Object | None:
        try:
            return self._store.get(kind, name)
        except ApiError:
            return None

    def _wait(self, life: Life, container: Container) -> None:
        code = container.wait()
        reason = "OOMKilled" if container.killed_for_memory else "Error" if code else "Completed"
        with contextlib.suppress(ApiError):  # the pod may be gone already
            self._state(life, container.name, {"terminated": {"exitCode": code, "reason": reason}})

    def _end(self, life: Life, grace_seconds: int) -> None:
        """Give a deleted pod its grace, then remove it."""
        life.gone.set()
        for container in list(life.containers.values()):
            container.terminate()
        if life.containers:
            life.over.wait(grace_seconds)
        _kill(life)
        with contextlib.suppress(ApiError):  # a second deletion had less grace
            self._store.remove("pods", life.name)

    def _condition(self, life: Life, kind: str, status: str, reason: str, message: str) -> None:
        made = {"type": kind, "status": status, "reason": reason, "message": message}

        def put(pod: Object) -> None:
            others = [one for one in pod["status"].get("conditions", []) if one["type"] != kind]
            pod["status"]["conditions"] = [*others, made]

        self._store.change("pods", life.name, put)

    def _state(self, life: Life, name: str, state: Object) -> None:
        def put(pod: Object) -> None:
            others = [one for one in pod["status"].get("containerStatuses", []) if one["name"] != name]
            image = next(spec["image"] for spec in pod["spec"]["containers"] if spec["name"] == name)
            image_id = "" if "waiting" in state else f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"
            status = {"name": name, "image": "", "imageID": image_id, "state": state}
            pod["status"]["containerStatuses"] = [*others, status]

        self._store.change("pods", life.name, put)

    def _event(self, life: Life, reason: str, message: str, *, kind: str = "Warning", container: str = "") -> None:
        involved = {"kind": "Pod", "name": life.name}
        if container:
            involved["fieldPath"] = f"spec.containers{{{container}}}"
        event = {"metadata": {"name": f"{life.name}.{next(self._numbers)}"}, "involvedObject": involved, "type": kind}
        times = {"firstTimestamp": _now(), "lastTimestamp": _now(), "eventTime": None}
        self._store.create("events", event | times | {"reason": reason, "message": message})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _running(pod: Object) -> None:
    pod["status"]["phase"] = "Running"
    pod["status"]["conditions"] = [*pod["status"].get("conditions", []), {"type": "Ready", "status": "True"}]


def _ended(pod: Object) -> None:
    codes: list[Any] = [one["state"].get("terminated", {}).get("exitCode") for one in pod["status"]["containerStatuses"]]
    if pod["status"]["phase"] != "Failed":
        pod["status"]["phase"] = "Failed" if any(codes) else "Succeeded"


def _kill(life: Life) -> None:
    for container in list(life.containers.values()):
        container.kill()


def _pump(process: subprocess.Popen[bytes], channel: int, stream: Stream) -> None:
    """Send what a command writes. Once the stream is over, its output is read and dropped, so that it can go on."""
    pipe = process.stdout if channel == STDOUT else process.stderr
    assert pipe is not None
    listened = True
    with pipe:
        while content := pipe.read1(32768):  # type: ignore[attr-defined]
            try:
                if listened:
                    stream.send(channel, content)
            except StreamEnded:
                listened = False


def _feed(process: subprocess.Popen[bytes], stream: Stream) -> None:
    """Pass on what the client sends, until the stream is over; then the command's standard input ends."""
    assert process.stdin is not None
    try:
        while True:
            channel, content = stream.receive()
            if channel == CLOSE:
                process.stdin.close()
            elif channel == STDIN and content:
                process.stdin.write(content)
                process.stdin.flush()
    except (StreamEnded, OSError, ValueError):
        pass
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _reap(process: subprocess.Popen[bytes], pumps: list[threading.Thread], stream: Stream) -> None:
    """Send how the command ended, after all of its output."""
    code = process.wait()
    for pump in pumps:
        pump.join()
    _end(stream, f"command terminated with non-zero exit code: exit status {code}" if code else "", code)


def _end(stream: Stream, error: str, code: int | None) -> None:
    status: dict[str, Any] = {"metadata": {}, "status": "Failure" if error else "Success"}
    if error:
        status |= {"message": error, "reason": "InternalError" if code is None else "NonZeroExitCode"}
    if code:
        status["details"] = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    with contextlib.suppress(StreamEnded):
        stream.send(STATUS, json.dumps(status).encode())
        stream.finish()
