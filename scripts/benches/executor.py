"""What the driver costs: each verb beside a driver on the stock client, and `run` beside `kubectl exec`, on a real cluster.

The same driver with counters (`[metrics] file`) runs in the same rounds: what they cost is the difference.
Rounds are interleaved. Wall and CPU are of the whole process, Python's start included, and of the child of the warm process
that runs the verb; RSS and PSS are peaks of both together, sampled while a script of three seconds runs. A ten-call job is
config, prepare, seven times run, cleanup. Hundreds of jobs at once: `scripts/prove many-jobs`.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.labs.backends.lab import payload
from tests.labs.cluster.cluster import Cluster, running_cluster
from tests.labs.warm_processes import end_warm_processes, warm_processes

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("prepare_script", "get_sources", "build_script", "after_script", "archive_cache", "cleanup_file_variables")
TRIVIAL = "#!/bin/sh\necho hello\n"
LONG = "#!/bin/sh\nsleep 3\n"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_seconds: float
    cpu_seconds: float
    rss_bytes: int
    pss_bytes: int


def measure(argv: list[str], environment: dict[str, str], cwd: Path, *, watch: bool = False) -> Cost:
    """Run a process to its end; what warm processes did meanwhile counts as its own.

    Raises RuntimeError with its output if it fails.
    """
    runtime = Path(environment.get("XDG_RUNTIME_DIR", "/nonexistent"))
    warm_before = warm_cpu_seconds(runtime)
    with tempfile.TemporaryFile() as output:
        begun = time.monotonic()
        process = subprocess.Popen(argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        peak = {"Rss": 0, "Pss": 0}
        over = threading.Event()
        sampler = threading.Thread(target=sample, args=(process.pid, runtime, peak, over))
        if watch:
            sampler.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        if watch:
            sampler.join()
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{argv}: {process.returncode}\n{output.read().decode(errors='replace')}")
    warm = warm_cpu_seconds(runtime) - warm_before
    return Cost(wall, used.ru_utime + used.ru_stime + warm, peak["Rss"], peak["Pss"])


def warm_cpu_seconds(runtime: Path) -> float:
    """Return what all warm processes of a folder and their children have used, once no child is left."""
    seconds = 0.0
    for process in serving(runtime):
        while process.children():
            time.sleep(0.02)
        seconds += sum(process.cpu_times()[:4])
    return seconds


def serving(runtime: Path) -> list[psutil.Process]:
    """Return the warm processes themselves."""
    found = warm_processes(runtime)
    return [process for process in found if process.ppid() not in {one.pid for one in found}]


def sample(process: int, runtime: Path, peak: dict[str, int], over: threading.Event) -> None:
    """Keep the largest resident and proportional set of a call, with the process that runs its verb, until it is over."""
    while not over.wait(0.05):
        now = dict.fromkeys(peak, 0)
        for one in [process, *(child.pid for server in serving(runtime) for child in server.children())]:
            with contextlib.suppress(OSError, ValueError):
                for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                    key, _, value = line.partition(":")
                    if key in now:
                        now[key] += int(value.split()[0]) * 1024
        for key, size in now.items():
            peak[key] = max(peak[key], size)


class Driver:
    """A driver whose verbs are called as the Runner does."""

    def __init__(self, cluster: Cluster, folder: Path, argv: list[str], extra: dict[str, str]) -> None:
        self._cluster = cluster
        self._argv = argv
        self._extra = extra
        self._folder = folder
        self._number = 0

    @contextlib.contextmanager
    def attempt(self) -> Iterator[Callable[..., Cost]]:
        """Yield a function that calls a verb of a new attempt."""
        self._number += 1
        folder = self._folder / f"attempt{self._number}"
        folder.mkdir(mode=0o700)
        (folder / "response.json").write_text(json.dumps(payload(["true"], id=self._number)))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            "XDG_RUNTIME_DIR": str(self._folder),
            "JOB_RESPONSE_FILE": str(folder / "response.json"),
            "BUILD_EXIT_CODE_FILE": str(folder / "build_exit_code"),
            "CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN": "bench",
            "PEER_POD": f"peer-{self._number}",
            **self._extra,
        }

        def call(verb: str, *, script: str = "", stage: str = "", watch: bool = False) -> Cost:
            command = [*self._cluster.inside, *self._argv[:-1], verb, *self._argv[-1:]]
            command = [word for word in command if word]
            if script:
                path = folder / "script"
                path.write_text(script)
                command += [str(path), stage]
            return measure(command, environment, folder, watch=watch)

        yield call


def job(driver: Driver) -> dict[str, list[Cost]]:
    """Run a ten-call job; return the costs by verb."""
    with driver.attempt() as call:
        costs = {"config": [call("config")], "prepare": [call("prepare")]}
        costs["run"] = [call("run", script=TRIVIAL, stage=stage) for stage in (*STAGES, "step_more")]
        costs["cleanup"] = [call("cleanup")]
    return costs


def main() -> None:
    """Measure, print a table, and one JSON object on the last line."""
    parser = argparse.ArgumentParser(prog="scripts/bench executor", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if parser.parse_args().quick else 10
    with running_cluster() as cluster, tempfile.TemporaryDirectory(prefix="bench-executor-") as name:
        folder = Path(name)
        cluster.kubectl("apply", "-f", "-", text=(ROOT / "docs/reference/rbac.yaml").read_text())
        kubeconfig = cluster.kubeconfig("driver")
        settings = folder / "settings.toml"
        settings.write_text(
            f'[kubernetes]\nnamespace = "default"\nkubeconfig = "{kubeconfig}"\nhelper_image = "localhost/busybox:1"\n'
            'pull_policy = "never"\n'
        )
        counting = folder / "counting.toml"
        counting.write_text(f'{settings.read_text()}\n[metrics]\nfile = "{folder}/farm.prom"\n')
        for part in ("ours", "counting", "stock"):
            (folder / part).mkdir()
        ours = Driver(cluster, folder / "ours", [sys.executable, "-m", "executor", f"--config={settings}"], {})
        counts = Driver(cluster, folder / "counting", [sys.executable, "-m", "executor", f"--config={counting}"], {})
        peer = str(ROOT / "scripts/benches/parts/stock_client.py")
        admin = {"PEER_KUBECONFIG": str(cluster.kubeconfig("admin")), "PEER_NAMESPACE": "default"}
        stock = Driver(cluster, folder / "stock", [sys.executable, peer, ""], admin)
        result: dict[str, Any] = {
            "verbs": verbs({"ours": ours, "counting": counts, "stock": stock}, rounds),
            "trivial_run": trivial_run(cluster, ours, stock, rounds * 2),
            "memory": memory(ours, stock),
        }
        end_warm_processes(folder / "ours")
        end_warm_processes(folder / "counting")
        assert "spack_farm_jobs_total" in (folder / "farm.prom").read_text()
    print(table(result))
    print(json.dumps(result))


def verbs(drivers: dict[str, Driver], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the median wall and CPU seconds of each verb, and those of a whole job, by driver."""
    for driver in drivers.values():  # byte code, page cache, and the warm process
        job(driver)
    found: dict[str, list[dict[str, list[Cost]]]] = {name: [] for name in drivers}
    for _ in range(rounds):
        for name, driver in drivers.items():
            found[name].append(job(driver))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, jobs in found.items():
        table[name] = {}
        for verb in ("config", "prepare", "run", "cleanup"):
            costs = [cost for one in jobs for cost in one[verb]]
            table[name][verb] = {
                "wall_seconds": statistics.median(cost.wall_seconds for cost in costs),
                "cpu_seconds": statistics.median(cost.cpu_seconds for cost in costs),
            }
        table[name]["ten calls"] = {
            key: statistics.median(sum(getattr(cost, key) for costs in one.values() for cost in costs) for one in jobs)
            for key in ("wall_seconds", "cpu_seconds")
        }
    return table


def trivial_run(cluster: Cluster, ours: Driver, stock: Driver, rounds: int) -> dict[str, dict[str, float]]:
    """Return wall seconds of the same trivial script by `run`, by the stock driver's, and by `kubectl exec`."""
    walls: dict[str, list[float]] = {"run": [], "stock run": [], "kubectl exec": []}
    with ours.attempt() as call, stock.attempt() as peer:
        call("prepare")
        peer("prepare")
        pods = cluster.kubectl("get", "pods", "-l", "spack-farm.io/managed-by=executor", "-o", "name").split()
        kubectl = [*cluster.inside, f"{cluster.programs}/kubectl", "--kubeconfig", str(cluster.kubeconfig("driver"))]
        kubectl += ["exec", pods[-1], "-c", "build", "--", "sh", "-c", TRIVIAL]
        environment = {"PATH": os.environ["PATH"], "HOME": str(cluster.home), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true"}
        for _ in range(rounds):
            walls["run"].append(call("run", script=TRIVIAL, stage="build_script").wall_seconds)
            walls["stock run"].append(peer("run", script=TRIVIAL, stage="build_script").wall_seconds)
            walls["kubectl exec"].append(measure(kubectl, environment, Path("/")).wall_seconds)
        call("cleanup")
        peer("cleanup")
    return {name: {"median": statistics.median(values), "least": min(values)} for name, values in walls.items()}


def memory(ours: Driver, stock: Driver) -> dict[str, dict[str, int]]:
    """Return the peaks of `run` while a script runs."""
    found = {}
    for name, driver in (("ours", ours), ("stock", stock)):
        with driver.attempt() as call:
            call("prepare")
            cost = call("run", script=LONG, stage="build_script", watch=True)
            call("cleanup")
        found[name] = {"rss_bytes": cost.rss_bytes, "pss_bytes": cost.pss_bytes}
    return found


def table(result: dict[str, Any]) -> str:
    """Return the result for people."""
    names = {"ours": "ours", "counting": "with counters", "stock": "stock client"}
    lines = [f"{'':10} {' '.join(f'{title:>17}' for title in names.values())}"]
    columns = f"{'wall s':>8} {'CPU s':>8}"
    lines.append(f"{'':10} {' '.join([columns] * len(names))}")
    for verb in result["verbs"]["ours"]:
        cells = [
            f"{result['verbs'][name][verb].get(key, 0):8.3f}" for name in names for key in ("wall_seconds", "cpu_seconds")
        ]
        lines.append(f"{verb:10} {' '.join(cells)}")
    lines.append("")
    for name, walls in result["trivial_run"].items():
        lines.append(f"trivial script by {name:12}: median {walls['median']:.3f} s, least {walls['least']:.3f} s")
    for name, sizes in result["memory"].items():
        rss, pss = sizes["rss_bytes"] / 2**20, sizes["pss_bytes"] / 2**20
        lines.append(f"while a script runs, {name:5}: RSS {rss:.1f} MiB, PSS {pss:.1f} MiB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
