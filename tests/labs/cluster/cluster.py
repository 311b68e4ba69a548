"""A real one-node Kubernetes cluster for tests, in namespaces of its own: network, mounts and process ids.

Its first process dies with the process that started it, and the kernel then ends everything in its namespaces, also when a
test run is killed with SIGKILL. The next start removes the files and control groups that such a run left. Nothing of the
cluster reaches beyond the machine: its network has no default route. By hand: `python -m tests.labs.cluster.cluster`.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.labs.cluster import parts
from tests.labs.cluster.images import write_images

HOMES = Path("/tmp/spack-farm-e2e")  # short: a socket's path has at most 107 bytes
START_SECONDS = 120.0


class Cluster:
    """A running cluster: its folder, its programs, and the process id of its first process. Any process may use it."""

    def __init__(self, home: Path, programs: Path, init: int) -> None:
        self.home = home
        self.programs = programs
        self.init = init
        self.inside = ["nsenter", f"--net=/proc/{init}/ns/net"]
        """Words before a command that lets a program of the machine talk to the cluster."""

    def start(self, name: str) -> None:
        """Have the first process start one component of `parts.commands`; its output is in `log/NAME.log`."""
        with (self.home / "orders").open("w") as orders:
            orders.write(f"{name}\n")

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a component; after SIGKILL return when it is gone and can be started again."""
        script = 'kill -s "$1" "$2"; [ "$1" != KILL ] || while kill -0 "$2" 2>/dev/null; do sleep 0.05; done'
        process = (self.home / "pid" / name).read_text().strip()
        argv = ["nsenter", "--target", str(self.init), "--pid", "sh", "-c", script, "signal", number.name[3:], process]
        subprocess.run(argv, check=True, timeout=60)

    def kubectl(self, *arguments: str, text: str = "", check: bool = True) -> str:
        """Run kubectl as the administrator; return what it prints. Raises CalledProcessError if it fails."""
        argv = [*self.inside, f"{self.programs}/kubectl", "--kubeconfig", str(self.kubeconfig("admin")), *arguments]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        return done.stdout

    def load(self, archive: Path) -> None:
        """Load an image archive into the node unless a process has done so before. Raises CalledProcessError."""
        ctr = ["ctr", "--address", f"{self.home}/containerd.sock", "--namespace", "k8s.io"]
        with (self.home / "images" / f"{archive.name}.loaded").open("a+") as note:
            fcntl.flock(note, fcntl.LOCK_EX)
            if note.seek(0, os.SEEK_END) == 0:
                subprocess.run([*ctr, "image", "import", str(archive)], check=True, capture_output=True)
                note.write("loaded\n")

    def kubeconfig(self, user: str) -> Path:
        """Return the path of the kubeconfig of one of `parts.TOKENS`."""
        return self.home / "kube" / f"{user}.kubeconfig"


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Build what is missing, start a cluster, and leave nothing of it behind. Raises TimeoutError with the logs' folder."""
    sweep()
    programs = Path(
        subprocess.run(
            [Path(__file__).with_name("build-kubernetes")], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
    )
    home = HOMES / f"c{os.getpid()}"
    for folder in ("log", "cni", "kube", "pki", "pid", "start", "sysctl", "images", "etcd", "kubelet"):
        (home / folder).mkdir(parents=True, mode=0o700)
    (home / "owner").write_text(f"{os.getpid()} {_started(os.getpid())}")
    try:
        for path, text in parts.files(home).items():
            (home / path).write_text(text)
        for name, argv in parts.commands(home, programs).items():
            (home / "start" / name).write_text(f"exec {shlex.join(argv)}\n")
        os.mkfifo(home / "orders", 0o600)
        init = _first_process(home)
        try:
            cluster = Cluster(home, programs, _child(init.pid))
            _start_all(cluster)
            yield cluster
        finally:
            _stop(init)
    finally:
        _remove(home)


def _stop(init: subprocess.Popen[bytes]) -> None:
    """End the first process, and with it everything in the cluster's namespaces; return when it is gone."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        os.kill(_child(init.pid), signal.SIGKILL)
    init.wait(30)


def sweep() -> None:
    """Remove what clusters of dead owners left: their processes ended with them, files and control groups stay."""
    for owner in HOMES.glob("*/owner"):
        number, _, started = owner.read_text().partition(" ")
        if _started(int(number)) != started:
            _remove(owner.parent)


def _first_process(home: Path) -> subprocess.Popen[bytes]:
    """Start the first process of new namespaces; it dies with this one. Return its parent, which waits for it."""
    argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--propagation", "private"]
    argv += ["--pid", "--fork", "--kill-child", "--mount-proc", "bash", str(home / "init.sh")]
    with (home / "log" / "init.log").open("wb") as log:
        init = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    _until(lambda: (home / "ready").exists() or init.poll() is not None, "the namespaces", home)
    if init.poll() is not None:
        raise RuntimeError((home / "log" / "init.log").read_text())
    return init


def _start_all(cluster: Cluster) -> None:
    """Start the components in order; return when pods can be scheduled."""
    home = cluster.home
    _make_control_groups(home.name)
    with (home / "log" / "pki.log").open("wb") as log:
        subprocess.run(["bash", "make.sh"], cwd=home / "pki", check=True, stdout=log, stderr=log)
    for name in ("etcd", "containerd", "apiserver"):
        cluster.start(name)
    ctr = ["ctr", "--address", f"{home}/containerd.sock"]
    archives = write_images(home / "images")
    _until(lambda: _succeeds([*ctr, "version"]), "containerd", home)
    for archive in archives:
        cluster.load(archive)
    _until(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False) == "ok", "the API server", home)
    for name in ("controllers", "scheduler", "kubelet"):
        cluster.start(name)
    _until(lambda: _is_ready(cluster), "the node", home)


def _is_ready(cluster: Cluster) -> bool:
    """Tell whether the node takes pods: ready, without the taint of its start, and with a default service account."""
    ready = '{.status.conditions[?(@.type=="Ready")].status}/{.spec.taints[*].key}'
    if cluster.kubectl("get", "node", "node1", "-o", f"jsonpath={ready}", check=False) != "True/":
        return False
    return bool(cluster.kubectl("get", "serviceaccount", "default", "--ignore-not-found", check=False))


def _until(happens: Callable[[], bool], what: str, home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not happens():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{log}: {log.read_text()[-600:]}" for log in (home / "log").glob("*.log"))
            raise TimeoutError(f"the test cluster did not start: {what}\n{logs}")
        time.sleep(0.05)


def _succeeds(argv: list[str]) -> bool:
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def _hierarchies() -> list[Path]:
    """Return the mount points of all control group hierarchies, v1 and v2."""
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [Path(fields[4]) for fields in lines if fields[fields.index("-") + 1] in {"cgroup", "cgroup2"}]


def _make_control_groups(name: str) -> None:
    """Make the group below which kubelet puts its pods, in every hierarchy; cpuset's children start without processors."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy.name == "cpuset":
                (hierarchy / name / file).write_text((hierarchy / file).read_text())


def _remove(home: Path) -> None:
    """Remove a dead cluster's control groups and files; absence is fine."""
    for hierarchy in _hierarchies():
        groups = sorted((hierarchy / home.name).rglob("*/"), key=lambda path: -len(path.parts))
        for group in [*(group for group in groups if group.is_dir()), hierarchy / home.name]:
            _remove_group(group)
    shutil.rmtree(home, ignore_errors=True)
    with contextlib.suppress(OSError):
        HOMES.rmdir()


def _remove_group(group: Path) -> None:
    """Remove one control group; the processes that were killed in it may still be leaving."""
    for _ in range(100):
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.05)
    return None


def _started(process: int) -> str:
    """Return the start time of a process in clock ticks: a later one with the same id has another; "" if none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _child(process: int) -> int:
    """Return the one child of a process that forked to enter a process-id namespace."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise TimeoutError(f"process {process} has no child")


def main() -> None:
    """Start a cluster and hold it until a line or the end of standard input."""
    begun = time.monotonic()
    with running_cluster() as cluster:
        kubectl = [*cluster.inside, f"{cluster.programs}/kubectl", "--kubeconfig", str(cluster.kubeconfig("admin"))]
        sys.stdout.write(f"up after {time.monotonic() - begun:.1f} s; Enter ends it\n{' '.join(kubectl)}\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    main()


@contextlib.contextmanager
def alone(cluster: Cluster, name: str) -> Iterator[None]:
    """Let one test at a time have what goes by a name that a page gives it, such as a Deployment."""
    with (cluster.home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
