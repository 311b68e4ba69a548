"""What the command line costs before it does anything: help, `doctor`, and a build of what is already there, beside Spack.

Seconds of whole processes, the least and the median of many starts, and the least CPU time. `doctor` also asks servers that
never answer: S3 and CDash, at once. Starts of Spack are counted by an interpreter that notes each.
"""

import argparse
import dataclasses
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from buildjob.options import environment
from buildjob.paths import from_environment
from buildjob.spack.find import find
from spack_farm.__main__ import VERBS
from tests.labs.checkout import ROOT
from tests.labs.spack.lab import SpackLab, SpackStarts

_PROGRAM = [sys.executable, str(ROOT / "spack_farm/__main__.py")]


@dataclasses.dataclass(frozen=True)
class Times:
    """Wall and CPU seconds of several runs of one command."""

    least_seconds: float
    median_seconds: float
    least_cpu_seconds: float
    """Of the process and its children: what a busy machine changes least."""


def timed(argv: Sequence[str], variables: dict[str, str], *, rounds: int, codes: tuple[int, ...] = (0,)) -> Times:
    """Run a command several times. Raises RuntimeError if it ends with another exit code."""
    walls, cpus = [], []
    for _ in range(rounds):
        before, begun = _cpu_seconds(), time.perf_counter()
        done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False)
        walls.append(time.perf_counter() - begun)
        cpus.append(_cpu_seconds() - before)
        if done.returncode not in codes:
            raise RuntimeError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
    return Times(min(walls), statistics.median(walls), min(cpus))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def helps(variables: dict[str, str], rounds: int) -> dict[str, Times]:
    """Return what the help costs, of the whole and of each verb."""
    verbs = [(), *((verb,) for verb in VERBS)]
    return {" ".join(["spack-farm", *verb]): timed([*_PROGRAM, *verb, "--help"], variables, rounds=rounds) for verb in verbs}


def doctors(lab: SpackLab, rounds: int) -> dict[str, Times]:
    """Return what `doctor` costs without servers, and with two that take connections and never answer."""
    doctor = [*_PROGRAM, "doctor", "--out", str(lab.folder)]
    found = {"doctor": timed(doctor, lab.environment, rounds=rounds, codes=(0, 1))}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        words = ["--mirror", "s3://bucket/farm", "--cdash", address]
        access = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": address}
        found["doctor, two servers that hang"] = timed([*doctor, *words], lab.environment | access, rounds=2, codes=(1,))
    return found


def nothing_to_do(lab: SpackLab, rounds: int) -> tuple[dict[str, Times], float]:
    """Return what a build of an installed package costs, ours and Spack's own, and how often ours starts Spack."""
    assert lab.build("libhello", "--out", lab.folder / "first").returncode == 0
    starts = SpackStarts(lab.folder, lab.environment["SPACK_PYTHON"])
    ours = timed(
        lab.agent_argv("libhello", "--out", lab.folder / "out"), lab.environment | starts.environment, rounds=rounds
    )
    stock = [str(lab.spack.program), "-C", str(lab.scope), "install", "libhello"]
    return {"build": ours, "spack install": timed(stock, lab.environment, rounds=rounds)}, len(starts.lines) / rounds


def main() -> None:
    """Measure, print a table, and one JSON object on the last line."""
    parser = argparse.ArgumentParser(prog="scripts/bench cli", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if parser.parse_args().quick else 20
    variables = environment()
    with tempfile.TemporaryDirectory(prefix="bench-cli-") as scratch:
        lab = SpackLab(Path(scratch), find("", variables, from_environment(variables)))
        lab.environment.setdefault("SPACK_PYTHON", sys.executable)
        times = {"python": timed([sys.executable, "-c", "pass"], {"PATH": os.environ["PATH"]}, rounds=rounds)}
        times |= helps({"PATH": os.environ["PATH"], "HOME": scratch}, rounds)
        times |= doctors(lab, rounds)
        built, starts = nothing_to_do(lab, min(rounds, 5))
        times |= built
    print(f"{'seconds':30} {'least':>7} {'median':>7} {'CPU':>7}")
    for name, one in times.items():
        print(f"{name:30} {one.least_seconds:7.3f} {one.median_seconds:7.3f} {one.least_cpu_seconds:7.3f}")
    print(f"\nstarts of Spack by a build of what is already there: {starts:g}")
    document = {name: dataclasses.asdict(one) for name, one in times.items()}
    print(json.dumps({"bench": "cli", "seconds": document, "spack_starts_of_no_build": starts}))


if __name__ == "__main__":
    main()
