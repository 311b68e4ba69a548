"""A real control plane with simulated nodes: etcd, API server, controllers, scheduler and kwok; no kubelet, no container.

All of it listens on loopback, at ports of its own, so several stand side by side; its programs die with the process that
started them. Nodes are Node objects with the annotation `kwok.x-k8s.io/node`; kwok makes them ready and their pods run.
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.labs.cluster import parts

_HERE = Path(__file__).resolve().parent
START_SECONDS = 120.0
_MOST_OPERATIONS = 100
"""Of a transaction of the store; it takes 128."""
CONTROLLER = "system:serviceaccount:spack-farm:spack-farm-autoscaler"
"""The user whose rights are those of deploy/autoscaler."""
_TOKENS = {
    "admin": 'admin,1,"system:masters"',
    "kcm": "system:kube-controller-manager,2",
    "scheduler": "system:kube-scheduler,3",
    "controller": f"{CONTROLLER},5",
}
BACKOFF = {"podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 1}
"""Of a scheduler: when it tries a pod again that found no node. Its own are up to ten seconds."""
_SCHEDULER = BACKOFF | {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": False},
}
_AUDIT = f"""
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{{level: Metadata, users: ["{CONTROLLER}"]}}, {{level: None}}]
"""


class ControlPlane:
    """A running control plane."""

    def __init__(self, home: Path, programs: Path, kwok: Path, *, port: int = 0) -> None:
        """`port` is that of a control plane that another process has started."""
        self.home, self.programs, self.kwok = home, programs, kwok
        self.port, self._etcd_port, self._etcd_peer = port or free_port(), free_port(), free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._tls: ssl.SSLContext | None = None
        self._store: http.client.HTTPConnection | None = None

    def kubeconfig(self, user: str = "admin", *, server: str = "") -> Path:
        """Return a kubeconfig of one of the users, for the API server or for what stands before it."""
        path = self.home / f"{user}-{(server or self.server).rpartition(':')[2]}.kubeconfig"
        if not path.exists():
            cluster: dict[str, Any] = {"server": server or self.server}
            if not server.startswith("http:"):
                cluster["certificate-authority"] = f"{self.home}/pki/ca.crt"
            document = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": user, "user": {"token": f"{user}token"}}],
                "contexts": [{"name": user, "context": {"cluster": "c", "user": user}}],
                "current-context": user,
            }
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(document))
            temporary.rename(path)
        return path

    def call(self, method: str, path: str, body: object = None, *, user: str = "admin", merge: bool = True) -> Any:
        """Call the API as a user. Raises ApiFault with the status for what is not 2xx."""
        status, content = self.raw(method, path, body, user=user, merge=merge)
        if not 200 <= status < 300:
            raise ApiFault(status, content)
        return json.loads(content) if content.startswith(b"{") else content.decode()

    def raw(
        self, method: str, path: str, body: object = None, *, user: str = "admin", merge: bool = True
    ) -> tuple[int, bytes]:
        """Call the API as a user; return status and content."""
        self._tls = self._tls or ssl.create_default_context(cafile=f"{self.home}/pki/ca.crt")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=30)
        patch = "application/merge-patch+json" if merge else "application/json-patch+json"
        headers = {
            "Authorization": f"Bearer {user}token",
            "Content-Type": patch if method == "PATCH" else "application/json",
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def write(self, objects: Iterable[tuple[str, dict[str, Any] | None]]) -> None:
        """Write objects into the store itself, past admission and controllers: ten thousand in seconds. None deletes one.

        Each comes with its key below `/registry/`, such as `pods/NAMESPACE/NAME`; the API server takes them from there.
        """
        found = list(objects)
        for begin in range(0, len(found), _MOST_OPERATIONS):
            operations = []
            for key, body in found[begin : begin + _MOST_OPERATIONS]:
                name = base64.b64encode(f"/registry/{key}".encode()).decode()
                if body is None:
                    operations.append({"requestDeleteRange": {"key": name}})
                else:
                    value = base64.b64encode(json.dumps(body).encode()).decode()
                    operations.append({"requestPut": {"key": name, "value": value}})
            if self._store is None:
                self._store = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=30)
            self._store.request("POST", "/v3/kv/txn", json.dumps({"success": operations}))
            answer = self._store.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise ApiFault(answer.status, content)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return all nodes by name."""
        return {one["metadata"]["name"]: one for one in self.call("GET", "/api/v1/nodes")["items"]}

    def pods(self, namespace: str) -> dict[str, dict[str, Any]]:
        """Return a namespace's pods by name."""
        return {one["metadata"]["name"]: one for one in self.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]}

    def start(self, name: str) -> None:
        """Start a component; its output is in `log/NAME.log`. It dies with this process."""
        argv = self._commands()[name]
        with (self.home / "log" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def add_karpenters_kinds(self) -> Path:
        """Add Karpenter's kinds of objects, CapacityBuffer among them; return the folder of its program."""
        karpenter = _built(_HERE / "build-kwok", "--karpenter")[1]
        kubectl = [f"{self.programs}/kubectl", "--kubeconfig", str(self.kubeconfig())]
        subprocess.run([*kubectl, "apply", "-f", f"{karpenter}/crds"], check=True, stdout=subprocess.DEVNULL)
        for kind in ("karpenter.sh/v1/nodeclaims", "autoscaling.x-k8s.io/v1beta1/capacitybuffers"):
            self.wait(lambda kind=kind: self.raw("GET", f"/apis/{kind}")[0] == 200, f"the kind {kind}")
        return karpenter

    def start_karpenter(self, **more: str) -> None:
        """Start Karpenter's controllers on their kwok provider, with CapacityBuffers; `more` is for its environment."""
        karpenter = self.add_karpenters_kinds()
        environment = {
            "KUBECONFIG": str(self.kubeconfig()), "DISABLE_LEADER_ELECTION": "true", "SYSTEM_NAMESPACE": "kube-system",
            "FEATURE_GATES": "CapacityBuffer=true", "KARPENTER_SERVICE": "karpenter", "METRICS_PORT": str(free_port()),
            "HEALTH_PROBE_PORT": str(free_port()), **more,
        }  # fmt: skip
        with (self.home / "log/karpenter.log").open("ab") as log:
            self._processes["karpenter"] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", f"{karpenter}/karpenter"], env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def process(self, name: str) -> int:
        """Return the process id of a component."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """Kill a component; return when it is gone and can be started again."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def freeze(self, name: str, *, frozen: bool) -> None:
        """Stop a component, or let it go on: it answers nothing meanwhile."""
        self._processes[name].send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def is_ready(self) -> bool:
        """Return whether the API server serves."""
        with contextlib.suppress(OSError):
            return self.raw("GET", "/readyz") == (200, b"ok")
        return False

    def start_all(self, *, simulated: bool = True) -> None:
        """Start all components; return when pods can be scheduled. Else only the store and the API server."""
        for folder in ("log", "pki", "etcd"):
            (self.home / folder).mkdir()
        (self.home / "pki/make.sh").write_text(parts.PKI)
        with (self.home / "log/pki.log").open("wb") as log:
            subprocess.run(["bash", "make.sh"], cwd=self.home / "pki", check=True, stdout=log, stderr=log)
        (self.home / "tokens.csv").write_text("".join(f"{name}token,{rest}\n" for name, rest in _TOKENS.items()))
        (self.home / "audit.yaml").write_text(_AUDIT)
        scheduler = _SCHEDULER | {
            "clientConnection": {"kubeconfig": str(self.kubeconfig("scheduler")), "qps": 500, "burst": 500}
        }
        (self.home / "scheduler.json").write_text(json.dumps(scheduler))
        self.start("etcd")
        self.start("apiserver")
        self.wait(self.is_ready, "the API server")
        if not simulated:
            return
        for name in ("controllers", "scheduler", "kwok"):
            self.start(name)
        self.wait(lambda: self.raw("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200, "accounts")

    def stop(self) -> None:
        """End everything."""
        if self._store is not None:
            self._store.close()
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def wait(self, happens: Any, what: str) -> None:
        """Wait until something is true. Raises TimeoutError with the logs' ends."""
        deadline = time.monotonic() + START_SECONDS
        while not happens():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{log}: {log.read_text()[-600:]}" for log in (self.home / "log").glob("*.log"))
                raise TimeoutError(f"the control plane did not start: {what}\n{logs}")
            time.sleep(0.05)

    def _commands(self) -> dict[str, list[str]]:
        pki, home, programs = self.home / "pki", self.home, self.programs
        etcd, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._etcd_peer}"
        return {
            "etcd": [
                f"{programs}/etcd", "--data-dir", f"{home}/etcd/data", "--listen-client-urls", etcd,
                "--advertise-client-urls", etcd, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}", "--unsafe-no-fsync",
            ],
            "apiserver": [
                f"{programs}/kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
                f"--secure-port={self.port}", "--advertise-address=127.0.0.1", f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
                f"--token-auth-file={home}/tokens.csv", "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki}/sa.pub",
                f"--service-account-signing-key-file={pki}/sa.key", "--service-cluster-ip-range=10.96.0.0/16",
                "--endpoint-reconciler-type=none", f"--audit-policy-file={home}/audit.yaml",
                f"--audit-log-path={home}/log/audit.jsonl",
            ],
            "controllers": [
                f"{programs}/kube-controller-manager", f"--kubeconfig={self.kubeconfig('kcm')}", "--leader-elect=false",
                "--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--cert-dir={home}/kcm-cert",
                f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt",
                "--use-service-account-credentials=true", "--node-monitor-grace-period=40s",
            ],
            "scheduler": [
                f"{programs}/kube-scheduler", f"--config={home}/scheduler.json", "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}", f"--cert-dir={home}/scheduler-cert",
            ],
            "kwok": [
                f"{self.kwok}/kwok", "--config", f"{self.kwok}/stages.yaml", "--kubeconfig", str(self.kubeconfig()),
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--node-lease-duration-seconds=40",
                f"--server-address=127.0.0.1:{free_port()}",
            ],
        }  # fmt: skip


class ApiFault(Exception):  # noqa: N818 (what the API server answered)
    """An answer that is not 2xx."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(status, content[:300])
        self.status = status


def free_port() -> int:
    """Return a port of loopback that nothing listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def running_control_plane(*, simulated: bool = True) -> Iterator[ControlPlane]:
    """Build what is missing, start a control plane, and leave nothing of it behind; `simulated`: see `start_all`."""
    programs = _built(_HERE.parent / "cluster/build-kubernetes")[0]
    kwok = _built(_HERE / "build-kwok")[0]
    home = Path(tempfile.mkdtemp(prefix="spack-farm-nodes-"))
    plane = ControlPlane(home, programs, kwok)
    try:
        plane.start_all(simulated=simulated)
        yield plane
    finally:
        plane.stop()
        shutil.rmtree(home, ignore_errors=True)


def _built(*argv: Path | str) -> list[Path]:
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return [Path(line) for line in done.stdout.split()]
