"""What generating a pipeline costs beside `spack ci generate`: CPU, memory, requests to S3; 5 specs, and 150 or more.

    scripts/bench pipelines [--quick] [--lock spack.lock]

Both sides take the same lock, so that concretizing is not the measure, and one after the other in each round; once, before,
each concretizes too. The mirror is an S3 server on this machine with an index of other binaries. A lock of real packages
comes from `--lock`, or both sides concretize it from spack-packages, which takes some minutes.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from buildjob.paths import from_environment
from buildjob.spack.find import SpackInstallation, find
from tests.labs.pipelines import EXAMPLES, Generators, Run, builds, put_index, waits_for
from tests.labs.s3.relay import Fate, relay
from tests.labs.s3.server import Server, moto
from tests.labs.spack.lab import SpackLab

_ROUNDS = (5, 1)
_REAL: dict[str, Any] = {
    "specs": ["py-jupyterlab", "py-pandas", "hdf5+mpi", "py-matplotlib"],
    "view": False,
    "concretizer": {"unify": True, "reuse": False},
    "ci": EXAMPLES["ci"],
}


class Cost(NamedTuple):
    """The median of a side's rounds."""

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float
    requests: int
    jobs: int


def main() -> int:
    """Run the bench; print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--lock", type=Path, help="a lock of real packages, in place of concretizing one")
    options = parser.parse_args()
    spack = find("", dict(os.environ), from_environment(dict(os.environ)))
    with tempfile.TemporaryDirectory(prefix="spack-farm-bench-") as name, moto(Path(name)) as server:
        bench = _Bench(Path(name), spack, server, rounds=_ROUNDS[options.quick])
        cases = {"examples": bench.examples(), "real packages": bench.real(options.lock)}
        costs = {case: bench.measured(case, generators) for case, generators in cases.items()}
    _print_table(costs, bench.concretizing)
    ratios = {f"cpu {case}": ours.cpu_seconds / peer.cpu_seconds for case, (ours, peer) in costs.items()}
    print(
        json.dumps(
            {
                "bench": "pipelines",
                "ours": {case: ours._asdict() for case, (ours, _) in costs.items()},
                "peers": {"spack ci generate": {case: peer._asdict() for case, (_, peer) in costs.items()}},
                "concretizing": bench.concretizing,
                "ratios": {"cpu": max(ratios.values()), **ratios},
            }
        )
    )
    return 0


class _Bench:
    """The folder, the server and how many requests it has had."""

    def __init__(self, folder: Path, spack: SpackInstallation, server: Server, *, rounds: int) -> None:
        self.folder, self.spack, self.server, self.rounds = folder, spack, server, rounds
        self.requests = 0
        self.concretizing: dict[str, dict[str, float]] = {}
        """CPU seconds of each side's only generation without a lock, by case."""

    def _count(self) -> Fate:
        self.requests += 1
        return "passed on"

    def _generators(self, name: str, scopes: tuple[Path, ...] = ()) -> Generators:
        folder = self.folder / name
        folder.mkdir()
        return Generators(SpackLab(folder, self.spack), folder, scopes=scopes)

    def examples(self) -> Generators:
        """Return the examples, concretized: five specs that are built."""
        made = self._generators("examples")
        made.write()
        self._concretize("examples", made)
        return made

    def real(self, lock: Path | None) -> Generators:
        """Return an environment of real packages."""
        scope = self.folder / "packages"
        scope.mkdir()
        repository = self.spack.root.parent / "spack-packages/repos/spack_repo/builtin"
        (scope / "repos.yaml").write_text(json.dumps({"repos:": {"builtin": str(repository)}}))
        made = self._generators("real", (scope,))
        made.write(_REAL)
        if lock is None:
            self._concretize("real packages", made)
            return made
        content = json.loads(lock.read_text())
        made.write(_REAL, specs=[root["spec"] for root in content["roots"]])
        (made.environment_folder / "spack.lock").write_text(json.dumps(content))
        return made

    def _concretize(self, case: str, made: Generators) -> None:
        """Let both sides generate without a lock, ours first: Spack's own generator leaves one in the environment."""
        made.spack("list", "--format", "name_only")  # fills the cache of recipes, which the first side would pay for
        ours, peer = _succeeded(made.ours()), _succeeded(made.peer())
        if not (made.environment_folder / "spack.lock").exists():
            raise SystemExit(f"{case}: there is no lock to go on with")
        self.concretizing[case] = {
            "spack-farm pipelines": round(ours.cpu_seconds, 3),
            "spack ci generate": round(peer.cpu_seconds, 3),
        }

    def measured(self, case: str, made: Generators) -> tuple[Cost, Cost]:
        """Return what both sides cost; both make the same jobs, in the same order."""
        bucket = self.server.bucket()
        put_index(self.server, bucket, "cache", {})
        manifest = json.loads((made.environment_folder / "spack.yaml").read_text())["spack"]
        ours, peers = [], []
        with relay(self.server, self._count) as counted:
            made.variables = dict(counted.environment)
            made.write(manifest, mirror=f"s3://{bucket}/cache")
            for _ in range(self.rounds + 1):  # the first one fills Spack's own caches, of both sides
                peers.append(self._one(made.peer))
                ours.append(self._one(made.ours))
        mine, theirs = made.pipeline(), made.peers_pipeline()
        if builds(mine) != builds(theirs) or waits_for(mine) != waits_for(theirs):
            raise SystemExit(f"{case}: both sides make different jobs")
        return _median(ours[1:], len(builds(mine))), _median(peers[1:], len(builds(theirs)))

    def _one(self, generate: Callable[[], Run]) -> tuple[Run, int]:
        before = self.requests
        return _succeeded(generate()), self.requests - before


def _succeeded(run: Run) -> Run:
    if run.code != 0:
        raise SystemExit(run.output)
    return run


def _median(runs: list[tuple[Run, int]], jobs: int) -> Cost:
    return Cost(
        cpu_seconds=round(statistics.median(run.cpu_seconds for run, _ in runs), 3),
        wall_seconds=round(statistics.median(run.wall_seconds for run, _ in runs), 3),
        peak_mib=round(statistics.median(run.peak_bytes for run, _ in runs) / (1 << 20), 1),
        requests=max(requests for _, requests in runs),
        jobs=jobs,
    )


def _print_table(costs: dict[str, tuple[Cost, Cost]], concretizing: dict[str, dict[str, float]]) -> None:
    print(f"{'':34}{'jobs':>6}{'CPU s':>9}{'wall s':>9}{'MiB':>8}{'requests':>10}")
    for case, sides in costs.items():
        for name, cost in zip(("spack-farm pipelines", "spack ci generate"), sides, strict=True):
            row = f"{cost.jobs:>6}{cost.cpu_seconds:>9.2f}{cost.wall_seconds:>9.2f}{cost.peak_mib:>8.0f}{cost.requests:>10}"
            print(f"{case + ', ' + name:34}{row}")
    for case, seconds in concretizing.items():
        print(f"{case}, concretized too, once: " + ", ".join(f"{name} {cpu:.2f} CPU s" for name, cpu in seconds.items()))


if __name__ == "__main__":
    sys.exit(main())
