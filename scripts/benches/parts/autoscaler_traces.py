"""The workload of the bench: five real pipelines' structures and requests, run times from the Linux From Scratch books.

Where the books have no time, it is drawn, from a lognormal of the package's size class: scaling-and-sizing 7.1. Pure, but
for reading the tables.
"""

import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path

from autoscaler.policy import InstanceType
from autoscaler.settings import allocatable
from autoscaler.simulator.workload import JobSpec, Pipeline
from autoscaler.snapshot import Size
from scripts.benches.parts.contest import ROOT

DATA = ROOT.parent / "shared/data/sizing"
_SUBMITTED = {
    "e4s": 0,
    "developer-tools-x86_64_v3-linux-gnu": 600,
    "hep": 3600,
    "data-vis-sdk": 5400,
    "e4s-oneapi": 7200,
}
_MEDIANS = {"small": 45, "default": 110, "medium": 240, "large": 900, "huge": 3600}
_SIGMA, _START_SECONDS, _SBU_CORE_SECONDS, _EFFICIENCY = 0.8, 25.0, 110.0, 0.8
_GIB = 1 << 30
_SIZES = (2, 4, 8, 16, 32, 48)
_FAMILIES = {"c5": (2, 0.085), "m5": (4, 0.096), "r5": (8, 0.126)}
"""Family -> GiB per vCPU, price of 2 vCPU for an hour."""


def pipelines(data: Path, seed: int) -> list[Pipeline]:
    """Return the five pipelines with run times and peaks for a seed."""
    times = dict(_book_times(data / "lfs_build_times.csv"))
    return [
        Pipeline(stack, float(at), tuple(_jobs(data / f"{stack}_dag.csv", stack, times, seed)))
        for stack, at in _SUBMITTED.items()
    ]


def _book_times(path: Path) -> Iterator[tuple[str, float]]:
    """Yield packages with core-units of build time, the last row of a package last."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["spack_package"]:
                yield row["spack_package"], float(row["sbu"]) * float(row["parallelism"])


def _jobs(path: Path, stack: str, times: dict[str, float], seed: int) -> Iterator[JobSpec]:
    chance = random.Random(f"{stack} {seed}")  # noqa: S311  a simulation, not a secret
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            cores, memory, kind = float(row["cpu_cores"]), int(row["memory_bytes"]), row["size_class"]
            builds = float(row["build_jobs"] or 1)
            drawn = chance.lognormvariate(math.log(_MEDIANS[kind]), _SIGMA)
            booked = times.get(row["package"])
            worked = drawn if booked is None else booked * _SBU_CORE_SECONDS / (builds * _EFFICIENCY)
            peak = memory * min(1.15, max(0.08, chance.lognormvariate(math.log(0.5), 0.55)))
            small = 16e9 * min(1.0, max(0.03, chance.lognormvariate(math.log(0.09), 0.8)))
            yield JobSpec(
                key=row["package"],
                name=row["package"],
                needs=tuple(row["deps"].split()),
                size=Size(cpu_millicores=int(cores * 1000), memory_bytes=memory),
                seconds=_START_SECONDS + worked,
                peak_bytes=int(min(60e9, peak, small) if kind == "default" else min(60e9, peak)),
            )


def instance_types() -> tuple[InstanceType, ...]:
    """Return 18 types of three families, with linear prices."""
    found = []
    for family, (gib, price) in _FAMILIES.items():
        for cores in _SIZES:
            vcpus = 36 if (family, cores) == ("c5", 32) else cores
            size = allocatable(vcpus * 1000 - 300, vcpus * gib * _GIB - _GIB // 2)
            name = f"{family}.{'large' if vcpus == 2 else 'xlarge' if vcpus == 4 else f'{vcpus // 4}xlarge'}"
            found.append(InstanceType(name=name, allocatable=size, price_per_hour=price * vcpus / 2))
    return tuple(found)
