"""A job from hand-out to final status: our driver beside the official Kubernetes executor, on one Runner and one cluster.

Both are [[runners]] of the same GitLab Runner 19.4 process, take the same payloads from coordinators of their own, and run
in turn. The official one polls every second (`poll_interval = 1`). Times are those of the coordinator (hand-out, final
status) and of the script itself (`date` in the pod): one clock. CPU and memory are those of the manager with all its driver
calls and their warm processes, of the API server and of kubelet, apart. Beside both: bare kubectl run, wait, exec, delete.
"""

import argparse
import contextlib
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from scripts.benches.parts.compat import compare
from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import Cluster, running_cluster
from tests.labs.farm.farm import Coordinator, Job, payload, running_farm

_ROUNDS = (7, 3)
_AT_ONCE = (1, 20)
_IMAGE = "localhost/spack-farm-helper:1"
Row = dict[str, float]


class Watch:
    """CPU and peaks of memory of the manager, the API server and kubelet, over a round.

    The manager's memory is its proportional share: a driver call's processes have most of their pages in common.
    """

    def __init__(self, manager: int, cluster: Cluster) -> None:
        self._manager = psutil.Process(manager)
        inside = [
            process
            for process in psutil.process_iter(["cmdline"])
            if str(cluster.home) in " ".join(process.info["cmdline"] or [])
        ]
        self._servers = {
            name: next(one for one in inside if one.info["cmdline"][0] == f"{cluster.programs}/{program}")
            for name, program in (("apiserver", "kube-apiserver"), ("kubelet", "kubelet"))
        }

    @contextlib.contextmanager
    def over(self, row: Row) -> Iterator[None]:
        """Add what the block used to a row."""
        before, over = self._cpu(), threading.Event()
        sampler = threading.Thread(target=self._sample, args=(row, over))
        sampler.start()
        yield
        over.set()
        sampler.join()
        row |= {f"{name}_cpu_seconds": value - before[name] for name, value in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        """Return CPU seconds so far; the manager's with the driver calls that have ended."""
        used = {name: process.cpu_times() for name, process in self._servers.items()}
        values = {name: times.user + times.system for name, times in used.items()}
        values["manager"] = 0.0
        for process in [self._manager, *_warm_processes()]:
            with contextlib.suppress(psutil.NoSuchProcess):  # then it is in its parent's
                values["manager"] += sum(process.cpu_times()[:4])
        return values

    def _sample(self, row: Row, over: threading.Event) -> None:
        while not over.wait(0.5):
            pss, calls = 0, 0
            for process in [self._manager, *self._manager.children(recursive=True), *_warm_processes()]:
                with contextlib.suppress(psutil.Error):
                    size = process.memory_full_info().pss
                    pss += size
                    calls += size if process != self._manager else 0
            sizes = {f"{name}_rss_peak_mib": process.memory_info().rss for name, process in self._servers.items()}
            for name, size in {"manager_pss_peak_mib": pss, "calls_pss_peak_mib": calls, **sizes}.items():
                row[name] = max(row.get(name, 0.0), size / (1 << 20))


def _warm_processes() -> list[psutil.Process]:
    """Return the warm processes of this checkout's driver, and what they have forked: no children of the manager."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"executor.warm_server", str(ROOT)} <= set(" ".join(process.info["cmdline"] or []).split())
    ]


def one_round(gitlab: Coordinator, watch: Watch, *, jobs: int) -> Row:
    """Run jobs at once; return medians over the jobs, the whole time, and what it cost."""
    row: Row = {}
    job = payload(["date +first=%s.%N"], image={"name": _IMAGE, "entrypoint": [""]})
    with watch.over(row):
        submitted = [gitlab.submit(job) for _ in range(jobs)]
        for one in submitted:
            end = one.wait(seconds=600)
            if end.state != "success":
                raise SystemExit(f"bench e2e: a job failed\n{one.text}")
    row["calls_pss_peak_mib_a_job"] = (
        row.pop("calls_pss_peak_mib") / jobs
    )  # without the Runner itself; the warm process is shared
    row["manager_cpu_seconds_a_job"] = row["manager_cpu_seconds"] / jobs
    times = [spans(one) for one in submitted]
    row |= {key: statistics.median(one[key] for one in times) for key in times[0]}
    handed = min(one.handed_out_at or 0.0 for one in submitted)
    row["all_seconds"] = max(one.ended_at or 0.0 for one in submitted) - handed
    return row


def spans(job: Job) -> Row:
    """Return a job's times from its hand-out."""
    found = re.search(r"first=(\d+\.\d+)", job.text)
    if not found or job.handed_out_at is None or job.ended_at is None:
        raise SystemExit(f"bench e2e: a job without its line\n{job.text}")
    return {"first_byte_seconds": float(found[1]) - job.handed_out_at, "final_seconds": job.ended_at - job.handed_out_at}


def bare(cluster: Cluster) -> Row:
    """Return what kubectl takes for a pod of the same image: run and wait until ready, exec, delete."""
    begun = time.monotonic()
    options = ["--image", _IMAGE, "--image-pull-policy", "Never", "--restart", "Never", "--", "sleep", "600"]
    cluster.kubectl("run", "bare", *options)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/bare", "--timeout=60s")
    ready = time.monotonic()
    cluster.kubectl("exec", "bare", "--", "date")
    done = time.monotonic()
    cluster.kubectl("delete", "pod", "bare", "--now", "--wait=false")
    row = {"ready_seconds": ready - begun, "exec_seconds": done - ready, "all_seconds": time.monotonic() - begun}
    cluster.kubectl("delete", "pod", "bare", "--ignore-not-found", "--force")
    return row


def settle(cluster: Cluster) -> None:
    """Return when no pod is left, so that no round pays for another's."""
    deadline = time.monotonic() + 120
    while cluster.kubectl("get", "pods", "-n", "default", "-o", "name").strip():
        if time.monotonic() > deadline:
            raise SystemExit("bench e2e: pods stay")
        time.sleep(0.2)


def main() -> int:
    """Print the tables, and one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 7")
    parser.add_argument(
        "--compat", nargs="*", metavar="JOB", help="no times: print where small jobs (all, or some) end differently"
    )
    arguments = parser.parse_args()
    if arguments.compat is not None:
        return _compare(arguments.compat)
    rounds = _ROUNDS[arguments.quick]
    table: dict[str, list[Row]] = {}
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bench-e2e-")))
        cluster = held.enter_context(running_cluster())
        cluster.kubectl("apply", "-f", str(ROOT / "docs/reference/rbac.yaml"))
        farm = held.enter_context(running_farm(cluster, folder, namespace="default"))
        watch = Watch(farm.manager, cluster)
        sides = {"ours": farm.gitlab, "official": farm.official}
        for gitlab in sides.values():  # byte code, page cache
            one_round(gitlab, watch, jobs=1)
            settle(cluster)
        for jobs in _AT_ONCE:
            for _ in range(rounds if jobs == 1 else max(2, rounds // 2)):
                for name, gitlab in sides.items():
                    table.setdefault(f"{name} {jobs}", []).append(one_round(gitlab, watch, jobs=jobs))
                    settle(cluster)
                if jobs == 1:
                    table.setdefault("kubectl", []).append(bare(cluster))
                    settle(cluster)
    medians = {
        name: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]} for name, rows in table.items()
    }
    report(medians, table)
    ratios = {
        f"{jobs}_{key}": round(medians[f"ours {jobs}"][key] / medians[f"official {jobs}"][key], 3)
        for jobs in _AT_ONCE
        for key in medians["ours 1"]
    }
    peers = {name: row for name, row in medians.items() if not name.startswith("ours")}
    mine = {name: row for name, row in medians.items() if name.startswith("ours")}
    print(json.dumps({"bench": "e2e", "rounds": rounds, "ours": mine, "peers": peers, "ratios": ratios}))
    return 0


def _compare(only: list[str]) -> int:
    """Run the jobs of `tests/labs/farm/compat_jobs.py` under both; 1 if a difference is not in docs/executor.md."""
    with tempfile.TemporaryDirectory(prefix="bench-compat-") as folder, running_cluster() as cluster:
        cluster.kubectl("apply", "-f", str(ROOT / "docs/reference/rbac.yaml"))
        return 1 if compare(cluster, Path(folder), only=only) else 0


def report(medians: dict[str, Row], table: dict[str, list[Row]]) -> None:
    """Print one line for each measure, ours beside the official executor's."""
    for jobs in _AT_ONCE:
        mine, theirs = medians[f"ours {jobs}"], medians[f"official {jobs}"]
        print(f"\n{jobs} at once, {len(table[f'ours {jobs}'])} rounds, medians {'ours':>10} {'official':>10} {'ratio':>7}")
        for key, value in mine.items():
            print(f"  {key:<38} {value:10.2f} {theirs[key]:10.2f} {value / theirs[key]:7.2f}")
    print("\nbare kubectl: " + ", ".join(f"{key} {value:.2f}" for key, value in medians["kubectl"].items()))


if __name__ == "__main__":
    sys.exit(main())
