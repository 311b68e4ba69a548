"""What the agent costs: `spack-farm build --no-publish` beside bare `spack install` of the same concrete spec.

Both start the same Spack through a small program that notes wall time and CPU of each call, so that the agent's further
Spack processes (the plan, the unsigned binary) are counted apart. Rounds are interleaved; the package is uninstalled before
each. The agent's own share is what its whole call took less what all its Spack processes took.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from buildjob.paths import from_environment
from buildjob.spack.find import SpackInstallation, find
from tests.labs.spack.lab import SpackLab

_ROUNDS = (5, 3)
_SPECS = (("libhello", "hello-busy files=8"), ("libhello",))
_SAMPLE_SECONDS = 0.05

_RECORDER = """#!{python} -IS
import json, os, subprocess, sys, time
begun = time.monotonic()
child = subprocess.Popen([{program!r}, *sys.argv[1:]])
_, status, used = os.wait4(child.pid, 0)
verbs = ["install" if word.endswith("/install.py") else word for word in reversed(sys.argv)]
row = {{"verb": next(word for word in verbs if word in ("python", "install", "buildcache", "uninstall", "spec")),
       "begun": begun, "wall": time.monotonic() - begun, "cpu": used.ru_utime + used.ru_stime}}
with open({notes!r}, "a") as file:
    file.write(json.dumps(row) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def recorded_spack(spack: SpackInstallation, folder: Path) -> tuple[SpackInstallation, Path]:
    """Return a Spack that notes each of its calls, and where it notes them."""
    root, notes = folder / "recorded", folder / "notes"
    (root / "bin").mkdir(parents=True)
    (root / "lib").symlink_to(spack.root / "lib")
    program = root / "bin" / "spack"
    program.write_text(_RECORDER.format(python=sys.executable, program=str(spack.program), notes=str(notes)))
    program.chmod(0o755)
    return SpackInstallation(root=root, found="the bench", python=spack.python, tools=spack.tools), notes


def take(notes: Path) -> list[dict[str, float | str]]:
    """Return the calls noted since the last time."""
    rows = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    notes.unlink(missing_ok=True)
    return rows


class Watch:
    """The resident peak of a process for as long as it lives, sampled."""

    def __init__(self, pid: int) -> None:
        self._path, self.peak_bytes = Path(f"/proc/{pid}/statm"), 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                self.peak_bytes = max(self.peak_bytes, int(self._path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
                time.sleep(_SAMPLE_SECONDS)
        except (OSError, IndexError):
            return

    def join(self) -> int:
        """Wait until the process has gone; return the peak."""
        self._thread.join()
        return self.peak_bytes


def bare(lab: SpackLab, spec_file: str) -> tuple[float, float]:
    """Return wall and CPU seconds of bare `spack install`."""
    return timed([str(lab.spack.program), "-C", str(lab.scope), "install", "--no-cache", "--only=package", spec_file], lab)[
        :2
    ]


def timed(argv: list[str], lab: SpackLab) -> tuple[float, float, int]:
    """Run to the end; return wall seconds, CPU seconds of the tree, and the resident peak of the program itself."""
    begun = time.monotonic()
    child = subprocess.Popen(argv, env=lab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watch = Watch(child.pid)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"bench agent: {' '.join(argv)} ended with {child.returncode}")
    return wall, used.ru_utime + used.ru_stime, watch.join()


def ours(lab: SpackLab, notes: Path, spec_file: str, out: Path) -> dict[str, float]:
    """Return the figures of one call of the agent."""
    take(notes)
    wall, cpu, peak = timed(lab.agent_argv("--no-publish", "--out", out, "--spack", lab.spack.root, spec_file), lab)
    calls = take(notes)
    install = next(row for row in calls if row["verb"] == "install")
    begun, ended = float(install["begun"]), float(install["begun"]) + float(install["wall"])
    # what packs starts before the build has ended: what it takes by then costs no time
    overlap = sum(max(ended - float(row["begun"]), 0.0) for row in calls if float(row["begun"]) > begun)
    return {
        "wall": wall,
        "cpu": cpu,
        "peak_mib": peak / 2**20,
        "install_wall": float(install["wall"]),
        "install_cpu": float(install["cpu"]),
        "further": len(calls) - 1,
        "further_wall": sum(float(row["wall"]) for row in calls) - float(install["wall"]) - overlap,
        "further_cpu": sum(float(row["cpu"]) for row in calls) - float(install["cpu"]),
    }


def measure(lab: SpackLab, notes: Path, spec: str, rounds: int, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return the medians of ours and of bare Spack, over interleaved rounds."""
    spec_file = folder / f"{spec.split(maxsplit=1)[0]}.json"
    printed = lab.stock_spack("spec", "--json", spec)
    spec_file.write_text(printed.stdout[printed.stdout.index("{") :])
    name = spec.split(maxsplit=1)[0]
    lab.stock_spack("install", "--no-cache", spec_file)
    mine, theirs = [], []
    for number in range(rounds):
        lab.forget(name)
        wall, cpu = bare(lab, str(spec_file))
        theirs.append({"wall": wall, "cpu": cpu})
        lab.forget(name)
        mine.append(ours(lab, notes, str(spec_file), folder / "out" / name / str(number)))
    for row in mine:
        # what the agent adds: its whole call less its further Spack processes
        row["own_wall"] = row["wall"] - row["further_wall"]
        row["own_cpu"] = row["cpu"] - row["further_cpu"]
    return median(mine), median(theirs)


def median(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure, and its spread (half the range) as `±figure`."""
    figures = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return figures | {f"±{key}": (max(r[key] for r in rows) - min(r[key] for r in rows)) / 2 for key in rows[0]}


def main() -> int:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench agent")
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    result: dict[str, dict[str, float]] = {"ours": {}, "bare": {}}
    with tempfile.TemporaryDirectory(prefix="bench-agent-") as scratch:
        folder = Path(scratch)
        spack, notes = recorded_spack(find("", variables, from_environment(variables)), folder)
        (folder / "lab").mkdir()
        lab = SpackLab(folder / "lab", spack)
        for spec in _SPECS[quick]:
            mine, theirs = measure(lab, notes, spec, _ROUNDS[quick], folder)
            report(spec, mine, theirs)
            key = spec.split()[0].replace("-", "_")
            allowed = 0.4 + 0.01 * theirs["cpu"]
            result["ours"] |= {
                f"{key}_added_wall_seconds": round(mine["own_wall"] - theirs["wall"], 3),
                f"{key}_added_cpu_seconds": round(mine["own_cpu"] - theirs["cpu"], 3),
                f"{key}_allowed_cpu_seconds": round(allowed, 3),
                f"{key}_rss_peak_mib": round(mine["peak_mib"], 1),
                f"{key}_further_spack_processes": mine["further"],
                f"{key}_further_spack_wall_seconds": round(mine["further_wall"], 3),
                f"{key}_further_spack_cpu_seconds": round(mine["further_cpu"], 3),
            }
            result["bare"] |= {
                f"{key}_wall_seconds": round(theirs["wall"], 3),
                f"{key}_cpu_seconds": round(theirs["cpu"], 3),
            }
    ratios = {
        f"{key}_wall_added": round(result["ours"][f"{key}_added_wall_seconds"] / result["bare"][f"{key}_wall_seconds"], 3)
        for key in {name.partition("_wall")[0] for name in result["bare"] if name.endswith("_wall_seconds")}
    }
    print(
        json.dumps({"bench": "agent", "ours": result["ours"], "peers": {"spack install": result["bare"]}, "ratios": ratios})
    )
    return 0


def report(spec: str, mine: dict[str, float], theirs: dict[str, float]) -> None:
    """Print the rows of one package."""
    print(f"\n{spec}: medians (± half the range)        wall s           CPU s")
    for title, wall, cpu, source in (
        ("bare spack install", "wall", "cpu", theirs),
        ("agent, all of it", "wall", "cpu", mine),
        ("  its spack install", "install_wall", "install_cpu", mine),
        (f"  its {mine['further']:.0f} further Spack processes", "further_wall", "further_cpu", mine),
        ("agent less the further ones", "own_wall", "own_cpu", mine),
    ):
        print(f"  {title:<38} {source[wall]:6.2f} ±{source['±' + wall]:.2f}   {source[cpu]:6.2f} ±{source['±' + cpu]:.2f}")
    print(f"  added: {mine['own_wall'] - theirs['wall']:.2f} s wall, {mine['own_cpu'] - theirs['cpu']:.2f} s CPU; "
          f"resident peak of the agent {mine['peak_mib']:.1f} MiB")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
