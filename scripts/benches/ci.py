"""What a job costs: `spack-farm build --ci` beside `spack ci rebuild` on the example package, with tests, from S3.

Both run the same job of the pipeline that real `spack ci generate` writes, with a fresh install tree; dependencies are in
the build cache, the binary is deleted from there before each. Rounds are interleaved. CPU is of the whole tree of processes.
What both leave in the artifacts is compared by name. The last round also says which programs the CPU went to, by looks at
all processes 50 times a second: what a process uses after the last look at it is missing there.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from buildjob.paths import from_environment
from buildjob.spack.find import find
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server, versitygw
from tests.labs.spack.lab import SpackLab
from tests.labs.spack.pipeline import PipelineProject

_PACKAGE = "hello-app"
_ROUNDS = (5, 2)
_ALLOWED = 0.5
_LOOK_SECONDS = 0.02
_PROGRAMS = {
    "theirs": {
        "spack ci rebuild": "ci rebuild",
        "spack bootstrap now": "bootstrap now",
        "spack install, dependencies": "--only=dependencies",
        "spack install, the package": "--only=package",
        "spack test run": "test run",
    },
    "ours": {
        "spack-farm build --ci": "build --ci",
        "Spack: plan, install dependencies": "inside/rebuild.py",
        "Spack: install the package, then pack": "inside/install.py",
        "Spack: stand-alone tests": "inside/standalone_tests.py",
        "Spack: pack": "inside/pack.py",
        "spack-farm publish push": "publish push",
        "spack-farm publish telemetry": "publish telemetry",
    },
}
"""Program -> what only its command line has. A process that is none of them counts for the one that has started it."""


def measure(run: Callable[[], "subprocess.CompletedProcess[str]"]) -> dict[str, float]:
    """Return wall and CPU seconds of a job that ends well."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = run()
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"bench ci: a job ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


class Looks:
    """Looks at the descendants of this process while a job runs; a context manager."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = patterns
        self._used: dict[tuple[int, float], tuple[str, float]] = {}
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._others = {process.pid for process in psutil.Process().children()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    @property
    def seconds(self) -> dict[str, float]:
        """CPU seconds by program, in the order of the programs."""
        found = dict.fromkeys(self._patterns, 0.0)
        for program, used in self._used.values():
            found[program] = found.get(program, 0.0) + used
        return {program: round(used, 2) for program, used in found.items() if used}

    def _run(self) -> None:
        while not self._has_ended.wait(_LOOK_SECONDS):
            for process in psutil.Process().children():
                if process.pid not in self._others:
                    self._look(process, "others")

    def _look(self, process: psutil.Process, parent: str) -> None:
        with contextlib.suppress(psutil.Error, OSError):
            line, times = " ".join(process.cmdline()), process.cpu_times()
            key = (process.pid, process.create_time())
            before = self._used.get(key, (parent, 0.0))[0]  # a zombie has no command line
            program = next((name for name, pattern in self._patterns.items() if pattern in line), before)
            self._used[key] = (program, times.user + times.system)
            for child in process.children():
                self._look(child, program)


def forget(server: Server, bucket: str) -> None:
    """Delete the package's manifests from the build cache, so that the next job builds it."""
    client = server.client()
    for found in client.list_objects_v2(Bucket=bucket, Prefix=f"farm/v3/manifests/spec/{_PACKAGE}/").get("Contents", []):
        client.delete_object(Bucket=bucket, Key=found["Key"])


def artifacts(project: PipelineProject) -> set[str]:
    """Return the names of the files that a job leaves in the folders that GitLab keeps of both."""
    kept = ("logs", "reproduction", "tests")
    return {str(path.relative_to(project.artifacts)) for name in kept for path in (project.artifacts / name).rglob("*.*")}


def main() -> int:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench ci")
    parser.add_argument("--quick", action="store_true")
    rounds = _ROUNDS[parser.parse_args().quick]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = subprocess.run([ROOT / "scripts/get-s3"], check=True, capture_output=True, text=True).stdout.strip()
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory(prefix="bench-ci-") as scratch, versitygw(Path(program), Path(scratch)) as server:
        folder = Path(scratch)
        (folder / "lab").mkdir()
        lab = SpackLab(folder / "lab", find("", variables, from_environment(variables)))
        bucket = server.bucket()
        destination = {
            "url": f"s3://{bucket}/farm",
            "endpoint_url": server.url,
            "access_pair": {"id": server.access_key, "secret_variable": "AWS_SECRET_ACCESS_KEY"},
            "signed": False,
        }
        project = PipelineProject(lab, folder / "project", specs=[_PACKAGE], destination=destination)
        project.environment |= server.environment
        project.generate()
        for package in project.jobs:
            if package != _PACKAGE:
                measure(partial(project.stock_rebuild, package))
        left: dict[str, set[str]] = {}
        programs: dict[str, dict[str, float]] = {}
        for number in range(rounds):
            for name, run in (("theirs", project.stock_rebuild), ("ours", project.rebuild)):
                forget(server, bucket)
                with Looks(_PROGRAMS[name]) if number == rounds - 1 else contextlib.nullcontext() as looks:
                    rows[name].append(measure(partial(run, _PACKAGE, "-j2", "--tests")))
                if looks:
                    programs[name] = looks.seconds
                left[name] = artifacts(project)
    result = {
        name: {f"{key}_seconds": round(statistics.median(row[key] for row in some), 2) for key in ("wall", "cpu")}
        for name, some in rows.items()
    }
    ratio = round(result["ours"]["cpu_seconds"] / result["theirs"]["cpu_seconds"], 3)
    print(f"one job of {_PACKAGE}, medians of {rounds}:   wall s    CPU s")
    for name, title in (("theirs", "spack ci rebuild"), ("ours", "spack-farm build --ci")):
        print(f"  {title:<28} {result[name]['wall_seconds']:8.2f} {result[name]['cpu_seconds']:8.2f}")
    print(f"  CPU ours / theirs: {ratio} (at most {_ALLOWED})")
    for name, title in (("theirs", "spack ci rebuild"), ("ours", "spack-farm build --ci")):
        print(f"  CPU seconds of the processes of {title}, last round:")
        for program, seconds in programs[name].items():
            print(f"    {program:<46} {seconds:5.2f}")
    for name in sorted(left["ours"] ^ left["theirs"]):
        print(f"  only {'ours' if name in left['ours'] else 'theirs'}: {name}")
    print(
        json.dumps(
            {
                "bench": "ci",
                "ours": result["ours"],
                "peers": {"spack ci rebuild": result["theirs"]},
                "ratios": {"cpu": ratio},
                "cpu_seconds_by_program": programs,
                "artifacts_only_ours": sorted(left["ours"] - left["theirs"]),
                "artifacts_only_theirs": sorted(left["theirs"] - left["ours"]),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
