"""Why a job waits: whether the reason is right and how soon the job's log has it, on simulated nodes and on a real one.

usage: scripts/prove reasons [--jobs N] [--only simulated|real] [--record]
The driver's own calls wait on a real API server and scheduler; the autoscaler decides every ten seconds, as by default.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from scripts import proof_page
from tests.labs.backends.lab import Runner, payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import running_cluster
from tests.labs.cluster.webhook import Webhook
from tests.labs.farm.farm import Coordinator, Farm, plain, running_farm
from tests.labs.farm.network import listener_inside
from tests.labs.nodes.control_plane import ControlPlane, running_control_plane
from tests.labs.nodes.faulty_api import FaultyApi
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import PROGRAM, Service
from tests.labs.waiting import wait_until

_AT_ONCE, _AT_ONCE_ON_NODE = 5, 15  # a silent job of a real Runner notices after half a minute that it was canceled
PULL = "if-not-present"
_PROJECT = 7757
"""Of the jobs on the real node: the autoscaler looks at no other jobs."""
_TICK_SECONDS = 10.0
_WAITS = re.compile(r"^waiting \((\w+)\): (.*)$", re.MULTILINE)
_STARTING = {"key": "node.spack.io/certificate-pending", "effect": "NoSchedule"}
_TAINT = 'taints = [{key = "only", value = "others"}]'
REAL = {
    "image": ("127.0.0.1:1/team/app:1", "waiting: image pull failed"),
    "secret": ("localhost/hook/secret/app:1", "waiting (secret): "),
    "volume": ("localhost/hook/volume/app:1", "waiting (volume): "),
}
"""Reason -> an image that leads to it (tests/labs/cluster/webhook.py), and how the job's log says it."""


class Sighting(NamedTuple):
    """What one job's log said, and when."""

    reason: str
    text: str
    seconds: float
    """From the driver's first line, before there is a pod, to the reason's line."""
    end_seconds: float = 0.0
    """From that line to the job's end, if it ended by itself."""
    outcome: str = ""


def main() -> int:
    """Run all, print the result; return 1 if a reason was wrong or late."""
    parser = argparse.ArgumentParser(prog="scripts/prove reasons", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="jobs for each reason (default: 50)")
    parser.add_argument(
        "--only", choices=("simulated", "real"), help="one half; its page is reasons-simulated or reasons-real"
    )
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/reasons.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    found: dict[str, list[Sighting]] = {}
    official: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="reasons-") as name:
        if arguments.only != "real":
            with running_control_plane() as plane:
                found |= _all(SIMULATED, lambda reason: simulated(plane, Path(name), reason, jobs=arguments.jobs))
        if arguments.only != "simulated":
            with contextlib.ExitStack() as held:
                cluster = held.enter_context(running_cluster())
                cluster.kubectl("apply", "-f", "-", text=(ROOT / "docs/reference/rbac.yaml").read_text())
                farm = held.enter_context(running_farm(cluster, Path(name), namespace="default", pull_policy=PULL))
                held.enter_context(watched(farm, Path(name), namespace="default"))
                found |= _all(REAL, lambda reason: real(farm.gitlab, reason, jobs=arguments.jobs))
                official = {reason: officials_text(farm, reason) for reason in REAL}
    result = page(found, official)
    print(result)
    if arguments.record:
        name = "-".join(filter(None, ("reasons", arguments.only)))
        proof_page.record(name, result, at=at, command=name.replace("-", " --only "))
    return int(not all(is_right(reason, one) for reason, seen in found.items() for one in seen))


def _all(reasons: Iterable[str], run: Callable[[str], list[Sighting]]) -> dict[str, list[Sighting]]:
    found = {}
    for reason in reasons:
        found[reason] = run(reason)
        print(line_of(reason, found[reason]), flush=True)
    return found


def is_right(reason: str, seen: Sighting) -> bool:
    """Return whether a job got the right reason in time; one that fits no node has ended soon, by its own fault."""
    in_time = seen.seconds <= 10 + 2  # two for the pod itself: to the driver's first line there is none yet
    if reason != "fits_no_type":
        return seen.reason == reason and in_time
    return seen.reason == reason and in_time and seen.end_seconds <= 30 and seen.outcome == "script_failure"


def line_of(reason: str, seen: list[Sighting]) -> str:
    """Return a row of the table."""
    times = sorted(one.seconds for one in seen)
    right = sum(is_right(reason, one) for one in seen)
    ended = [one.end_seconds for one in seen if one.end_seconds]
    end = f"{max(ended):.0f} s" if ended else ""
    p95 = times[max(0, -(-95 * len(times) // 100) - 1)]
    return f"| `{reason}` | {right} of {len(seen)} | {statistics.median(times):.1f} | {p95:.1f} | {times[-1]:.1f} | {end} |"


def page(found: dict[str, list[Sighting]], official: dict[str, str]) -> str:
    """Return the page's text."""
    head = "| reason | right and in time | s to the log's line, median | p95 | most | the job's end after it |"
    head += "\n|---|---|---|---|---|---|"
    rows = "\n".join(line_of(reason, seen) for reason, seen in found.items())
    texts = "\n".join(f"- `{reason}`: {seen[0].text}" for reason, seen in found.items())
    theirs = "\n".join(f"- `{reason}`: {text}" for reason, text in official.items())
    compared = f"\n\nThe official executor's last lines within 25 s for the same pods:\n\n{theirs}" if official else ""
    return (
        "Seconds are from the driver's first line, before there is a pod, to the line with the reason. `image`, `secret`\n"
        f"and `volume` on a real node, the others on simulated ones.\n\n{head}\n{rows}\n\n"
        f"The log's lines, of the first job each:\n\n{texts}{compared}"
    )


class Kind(NamedTuple):
    """How a reason is brought about on simulated nodes."""

    cpu: str
    """What the job asks for."""
    top: str = ""
    pool: str = ""
    prepare: Callable[[NodesLab], None] = lambda _farm: None
    boot_seconds: float = 3600.0


def _full(farm: NodesLab) -> None:
    farm.add_node("full", cpu="8", labels={"node.kubernetes.io/instance-type": "large"})
    farm.add_job("busy", cpu="8")
    wait_until(lambda: farm.phase("busy") == "Running")


def _booting(farm: NodesLab) -> None:
    farm.add_node("new", cpu="8", taints=[_STARTING], labels={"node.kubernetes.io/instance-type": "large"})


SIMULATED = {
    "pool_at_limit": Kind("7", top="[caps]\nmost_nodes = 1", prepare=_full),
    "node_booting": Kind("50m", prepare=_booting),
    "taint": Kind("3", pool=_TAINT),
    "fits_no_type": Kind("64"),
}


def simulated(plane: ControlPlane, folder: Path, reason: str, *, jobs: int) -> list[Sighting]:
    """Have the driver wait on simulated nodes for one reason, several jobs at a time; return what each log said."""
    kind = SIMULATED[reason]
    farm = NodesLab(plane, FaultyApi(plane), reason.replace("_", "-"))
    plane.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": farm.name}})
    wait_until(lambda: plane.raw("GET", f"/api/v1/namespaces/{farm.name}/serviceaccounts/default")[0] == 200)
    settings = folder / f"{reason}.toml"
    settings.write_text(
        f'[kubernetes]\nnamespace = "{farm.name}"\nkubeconfig = "{plane.kubeconfig()}"\nhelper_image = "x:1"\n'
        f'cpu_request_overwrite_max_allowed = "99"\n[kubernetes.pod_labels]\nfarm = "{farm.name}"\n'
        f'[kubernetes.node_selector]\nfarm = "{farm.name}"\n'
    )
    kind.prepare(farm)
    services = folder / f"{reason}.service"
    services.mkdir()
    service = Service(
        farm, services, top=kind.top, pool=kind.pool, tick_seconds=_TICK_SECONDS, boot_seconds=kind.boot_seconds
    )
    try:
        wait_until(service.leads)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda number: _waited(settings, reason, kind, number), range(jobs)))
    finally:
        service.kill()
        farm.clean()
        farm.api.stop()


def _waited(settings: Path, reason: str, kind: Kind, number: int) -> Sighting:
    """Run one job until its log has a reason, or to its end if it fits no node."""
    at: dict[str, float] = {}
    runner = Runner(
        [sys.executable, "-m", "executor"], ["--config", str(settings)], environment={"PYTHONPATH": str(ROOT)}
    )  # fmt: skip
    runner.when("Preparing pod", lambda: at.setdefault("begun", time.monotonic()))

    def seen() -> None:
        at.setdefault("seen", time.monotonic())
        if reason != "fits_no_type":
            runner.cancel(graceful=False)

    runner.when("\nwaiting (", seen)
    info = {
        "name": f"job {number}",
        "stage": "build",
        "pipeline_id": number + 1,
        "project_id": 4,
        "project_full_path": "g/p",
    }
    outcome = runner.run(payload(["true"], id=number + 1, job_info=info, variables={"KUBERNETES_CPU_REQUEST": kind.cpu}))
    ended = time.monotonic()
    found = _WAITS.search(plain(outcome.text))
    assert found is not None, outcome.text
    seconds = at["seen"] - at["begun"]
    if reason != "fits_no_type":
        return Sighting(found[1], found[0], seconds)
    return Sighting(found[1], found[0], seconds, ended - at["seen"], outcome.reason)


@contextlib.contextmanager
def watched(farm: Farm, folder: Path, *, namespace: str) -> Iterator[None]:
    """Run the autoscaler in the cluster's network, which orders nothing there, and what mounts missing things into pods."""
    cluster = farm.cluster
    settings, log = folder / "autoscaler.toml", folder / "autoscaler.log"
    settings.write_text(
        f'tick_seconds = {_TICK_SECONDS}\n[caps]\nmost_cost_per_hour = 0.001\n[[pools]]\nname = "p"\nhand = "kwok"\n'
        '[[pools.types]]\nname = "t"\ncpu = "8"\nmemory = "32Gi"\nprice_per_hour = 1.0\n[service]\n'
        f'kubeconfig = "{cluster.kubeconfig("admin")}"\nnamespace = "{namespace}"\nlisten = ""\n'
        f'[service.job_labels]\n"project.runner.gitlab.com/id" = "{_PROJECT}"\n'
    )
    with contextlib.ExitStack() as held:
        hook = held.enter_context(Webhook(folder, listener=listener_inside(cluster.init, address="127.0.0.1")))
        document = hook.configuration(namespace, changes_pods=True)
        cluster.kubectl("apply", "-f", "-", text=json.dumps(document))
        held.callback(cluster.kubectl, "delete", document["kind"], document["metadata"]["name"])
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*cluster.inside, sys.executable, "-c", PROGRAM, str(settings)], cwd=ROOT, stdout=output, stderr=output,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        try:
            wait_until(lambda: '"leading"' in log.read_text())
            yield
        finally:
            process.kill()
            process.wait()
        assert "Traceback" not in log.read_text(), log.read_text()[-2000:]


def real(gitlab: Coordinator, reason: str, *, jobs: int) -> list[Sighting]:
    """Have jobs of our driver wait on the real node for one reason; return what each log said."""
    with ThreadPoolExecutor(_AT_ONCE_ON_NODE) as pool:
        return list(pool.map(lambda number: _waited_on_node(gitlab, reason, number), range(jobs)))


def _waited_on_node(gitlab: Coordinator, reason: str, number: int) -> Sighting:
    image, words = REAL[reason]
    over = threading.Event()
    info = {"name": f"{reason} {number}", "stage": "build", "pipeline_id": number + 1, "project_id": _PROJECT}
    job = gitlab.submit(payload(["true"], image={"name": image, "entrypoint": [""]}, job_info=info))
    job.when(words, over.set)
    assert over.wait(60), job.text
    log = job.text
    text = next(line for line in plain(log).splitlines() if words in line)
    job.cancel(gracefully=False)
    job.wait()
    return Sighting(reason, text, _at(log, words) - _at(log, "Preparing pod"))


def _at(log: str, words: str) -> float:
    """Return when the Runner has read a line from the driver: its log is sent in pieces, seconds later."""
    line = next(line for line in log.splitlines() if words in line)
    return dt.datetime.fromisoformat(line.partition(" ")[0]).timestamp()


def officials_text(farm: Farm, reason: str) -> str:
    """Return what the official executor says of the same within 25 s."""
    job = farm.official.submit(payload(["true"], image={"name": REAL[reason][0], "entrypoint": [""]}))
    with contextlib.suppress(TimeoutError):
        job.wait(seconds=25)
    lines = [line for line in plain(job.text).splitlines() if line.strip()]
    if job.end is None:
        job.cancel(gracefully=False)
        with contextlib.suppress(TimeoutError):
            job.wait(seconds=60)
    return " / ".join(lines[-3:])


if __name__ == "__main__":
    sys.exit(main())
