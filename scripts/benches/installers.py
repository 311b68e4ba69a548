"""One package per call of Spack's new installer beside one call for several packages with a cgroup for each.

Both measure in the same way: each process that builds a package joins cgroups of its own. What a package shows when it is
built alone is its figure; the distance from that when others are built beside it is the error of attribution. Needs Spack
1.2 (scripts/get-spack --version v1.2.0.dev0), root and cgroup v1.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from buildjob.paths import from_environment
from buildjob.spack.find import find
from tests.labs.real_packages.lab import RealLab
from tests.labs.real_packages.sources import SOURCES, mirror

_PACKAGES = ("bzip2", "lz4", "jansson", "libsigsegv")
_INSIDE = Path(__file__).parent / "parts" / "grouped_installer.py"
_CONTROLLERS = tuple(Path("/sys/fs/cgroup") / name for name in ("memory", "cpuacct"))
_FIGURES = {"cpu": "CPU s", "memory": "anonymous peak MiB", "wall": "wall s"}
_MIB = 1 << 20


@contextmanager
def _groups(names: Sequence[str]) -> Iterator[list[Path]]:
    """Make a cgroup for each name below each controller; yield the folders that hold them."""
    tops = [folder / f"spack-farm-bench-{os.getpid()}" for folder in _CONTROLLERS]
    for top in tops:
        for name in names:
            (top / name).mkdir(parents=True)
    try:
        yield tops
    finally:
        for top in tops:
            for folder in (*top.iterdir(), top):
                if folder.is_dir():
                    folder.rmdir()


class _Watch:
    """Samples the anonymous memory of each group, and the time in which it has processes, until it is left."""

    def __init__(self, memory: Path, names: Sequence[str]) -> None:
        self.peak, self.wall = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)
        self._memory, self._ended = memory, threading.Event()
        self._side = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._side.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._ended.set()
        self._side.join()

    def _sample(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(0.05):
            now = time.monotonic()
            for name in self.peak:
                folder = self._memory / name
                if (folder / "cgroup.procs").read_text():
                    self.wall[name] += now - last
                    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                    self.peak[name] = max(self.peak[name], int(stat["total_rss"]))
            last = now


def _run(lab: RealLab, names: Sequence[str], jobs: int) -> tuple[dict[str, dict[str, float]], float, float]:
    """Build packages in one call; return the figures of each, and wall and CPU seconds of the whole call."""
    files = []
    for name in names:
        path = lab.folder / f"{name}.json"
        if not path.exists():
            done = lab.stock_spack("-e", lab.environment_folder, "spec", "--json", f"/{lab.hash_of(name)}")
            path.write_text(done.stdout)
        files.append(path)
    lab.forget(*names)
    with _groups(names) as (memory, cpuacct), _Watch(memory, names) as watch:
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = lab.stock_spack(
            "-c", f"config:build_jobs:{jobs}", "python", _INSIDE, f"{memory},{cpuacct}", *files, timeout=3600
        )
        wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(f"bench installers: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        figures = {
            name: {
                "cpu": int((cpuacct / name / "cpuacct.usage").read_text()) / 1e9,
                "memory": watch.peak[name] / _MIB,
                "wall": watch.wall[name],
            }
            for name in names
        }
    return figures, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _median(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def main() -> int:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench installers")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    names, rounds = (_PACKAGES[:2], 1) if asked.quick else (_PACKAGES, asked.rounds)
    paths = from_environment(os.environ)
    spack = find(str(paths.cache / "spack" / "v1.2.0.dev0" / "spack"), os.environ, paths)
    alone: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    together: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    totals: dict[str, list[dict[str, float]]] = {"alone": [], "together": []}
    with tempfile.TemporaryDirectory(prefix="bench-installers-") as folder:
        lab = RealLab(Path(folder), spack, sources=mirror(source.package for source in SOURCES), installer="new")
        done = lab.build(lab.environment_folder, f"--hash={lab.hash_of('bzip2')}", timeout=900)  # what they all need
        if done.returncode:
            sys.exit(f"bench installers: {done.stdout}{done.stderr}")
        for _ in range(rounds):
            wall = cpu = 0.0
            for name in names:
                figures, its_wall, its_cpu = _run(lab, [name], asked.jobs)
                alone[name].append(figures[name])
                wall, cpu = wall + its_wall, cpu + its_cpu
            totals["alone"].append({"wall": wall, "cpu": cpu})
            figures, wall, cpu = _run(lab, names, asked.jobs)
            totals["together"].append({"wall": wall, "cpu": cpu})
            for name in names:
                together[name].append(figures[name])
    result: dict[str, dict[str, dict[str, float]]] = {}
    print(f"-j{asked.jobs}, medians of {rounds}; a cgroup for each package")
    print("| package | figure | one package per call | one call for all | error |\n|---|---|---:|---:|---:|")
    for name in names:
        one, many = _median(alone[name]), _median(together[name])
        result[name] = {"alone": one, "together": many}
        for key, title in _FIGURES.items():
            error = many[key] / one[key] - 1 if one[key] else 0.0
            print(f"| {name} | {title} | {one[key]:.2f} | {many[key]:.2f} | {error:+.0%} |")
    whole = {name: _median(rows) for name, rows in totals.items()}
    for key in ("cpu", "wall"):
        first, other = whole["alone"][key], whole["together"][key]
        print(f"| all | {_FIGURES[key]}, Spack's starts included | {first:.2f} | {other:.2f} | {other / first - 1:+.0%} |")
    print(json.dumps({"bench": "installers", "jobs": asked.jobs, "packages": result, "totals": whole}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
