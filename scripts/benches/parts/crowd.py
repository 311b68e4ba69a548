"""Many jobs at once on one manager, for `scripts/bench executor`: against the fake API server, whose pods are real shells.

Every job's output is compared with what its script printed. Pods are prepared a few at a time, the scripts run all at once.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import payload

ROOT = Path(__file__).resolve().parents[3]
LINES = 60
PREPARED_AT_ONCE = 4
SCRIPT = f"""#!/bin/sh
i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo "$i of $0 ........................................"; sleep 1; done
"""


def crowd(jobs: int) -> dict[str, float]:
    """Run so many jobs at once; return what their `run` calls took. Raises AssertionError at the first wrong byte."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="crowd-") as name, FakeCluster(Path(name) / "cluster") as cluster:
        folder = Path(name)
        settings = folder / "settings.toml"
        settings.write_text(
            f'[kubernetes]\nnamespace = "default"\nkubeconfig = "{cluster.kubeconfig()}"\n'
            'helper_image = "localhost/busybox:1"\n'
        )
        attempts = [_Attempt(folder / f"a{number}", settings, number) for number in range(1, jobs + 1)]
        with ThreadPoolExecutor(PREPARED_AT_ONCE) as pool:
            list(pool.map(lambda one: one.call("prepare"), attempts))
        peak = {"Rss": 0, "Pss": 0, "alive": 0}
        over = threading.Event()
        sampler = threading.Thread(target=_sample, args=(attempts, peak, over))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        sampler.start()
        with ThreadPoolExecutor(jobs) as pool:
            outputs = list(pool.map(lambda one: one.call("run", str(one.script), "build_script"), attempts))
        wall = time.monotonic() - begun
        over.set()
        sampler.join()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        for one, output in zip(attempts, outputs, strict=True):
            one.check(output)
        with ThreadPoolExecutor(PREPARED_AT_ONCE) as pool:
            list(pool.map(lambda one: one.call("cleanup"), attempts))
    return {
        "jobs": jobs,
        "at_once": peak["alive"],
        "wall_seconds": wall,
        "cpu_seconds_per_run": (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) / jobs,
        "rss_bytes_per_run": peak["Rss"] / max(peak["alive"], 1),
        "pss_bytes_per_run": peak["Pss"] / max(peak["alive"], 1),
    }


class _Attempt:
    """One job's attempt, as the Runner makes it."""

    def __init__(self, folder: Path, settings: Path, number: int) -> None:
        folder.mkdir(mode=0o700)
        self.script = folder / "script"
        self.script.write_text(SCRIPT)
        (folder / "response.json").write_text(json.dumps(payload(["true"], id=number)))
        self._folder = folder
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def call(self, verb: str, *words: str) -> bytes:
        """Call a verb and return its standard output. Raises AssertionError if it fails."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self._folder),
            "JOB_RESPONSE_FILE": str(self._folder / "response.json"),
            "CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN": "bench",
        }
        argv = [sys.executable, "-m", "executor", verb, f"--config={self._settings}", *words]
        self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/")
        output, _ = self.process.communicate()
        assert self.process.returncode == 0, output[-2000:]
        return output

    def check(self, output: bytes) -> None:
        """Raise AssertionError if the script's lines are not all there, once and in order."""
        lines = [line.partition(b" of ")[0] for line in output.splitlines() if b" of /" in line]
        assert lines == [b"%d" % number for number in range(1, LINES + 1)], output[-2000:]


def _sample(attempts: list[_Attempt], peak: dict[str, int], over: threading.Event) -> None:
    """Keep the memory of all living `run` calls together, when most of them were alive."""
    while not over.wait(2):
        sums = {"Rss": 0, "Pss": 0, "alive": 0}
        for one in attempts:
            if one.process is None or one.process.poll() is not None:
                continue
            try:
                lines = Path(f"/proc/{one.process.pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            sums["alive"] += 1
            for line in lines:
                key, _, value = line.partition(":")
                if key in sums:
                    sums[key] += int(value.split()[0]) * 1024
        if sums["alive"] >= peak["alive"]:
            peak.update(sums)


if __name__ == "__main__":
    print(json.dumps(crowd(int(sys.argv[1]))))
