"""The autoscaler under five faults, in the middle of pipelines on a real API server: no job ended by it, no node left over.

usage: scripts/prove autoscaler-faults [--rounds N] [--seed S] [--record]
"""

import argparse
import itertools
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts import proof_page
from tests.labs.nodes import scenarios
from tests.labs.nodes.control_plane import ControlPlane, running_control_plane
from tests.labs.nodes.faulty_api import FaultyApi
from tests.labs.nodes.plugin import NodesLab
from tests.labs.waiting import wait_until

_AT_ONCE = 4
_NUMBERS = itertools.count(1)


def main() -> int:
    """Run each fault so many times, print a table; return 1 if a job was ended by the autoscaler or a node is left."""
    parser = argparse.ArgumentParser(prog="scripts/prove autoscaler-faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each fault (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/autoscaler-faults.md")
    arguments = parser.parse_args()
    at, begun = proof_page.commit(), time.monotonic()
    seeds = range(arguments.seed, arguments.seed + arguments.rounds)
    work = [(name, seed) for seed in seeds for name in scenarios.SCENARIOS]
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        running_control_plane() as plane,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        outcomes = list(pool.map(lambda one: _run(plane, Path(folder), *one), work))
    found: dict[str, list[scenarios.Outcome]] = {name: [] for name in scenarios.SCENARIOS}
    for (name, _), outcome in zip(work, outcomes, strict=True):
        found[name].append(outcome)
    rows = [
        f"| {name} | {len(some)} | {sum(one.jobs for one in some)} | {sum(one.lost for one in some)} | "
        f"{sum(one.ended_by_us for one in some)} | {sum(one.nodes_left for one in some)} |"
        for name, some in found.items()
    ]
    head = "| fault | rounds | jobs | lost with their node, and run again | ended by the autoscaler | nodes left |"
    head += "\n|---|---|---|---|---|---|"
    result = "\n".join([head, *rows, "", f"Seeds {seeds[0]} to {seeds[-1]}, {time.monotonic() - begun:.0f} s."])
    print(result)
    if arguments.record:
        proof_page.record("autoscaler-faults", result, at=at)
    return int(any(one.ended_by_us or one.nodes_left for one in outcomes))


def _run(plane: ControlPlane, folder: Path, name: str, seed: int) -> scenarios.Outcome:
    """Run one fault in a namespace of its own."""
    number = next(_NUMBERS)
    farm = NodesLab(plane, FaultyApi(plane), f"faults-{number}")
    plane.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": farm.name}})
    wait_until(lambda: plane.raw("GET", f"/api/v1/namespaces/{farm.name}/serviceaccounts/default")[0] == 200)
    logs = folder / str(number)
    logs.mkdir()
    try:
        outcome = scenarios.run(name, farm, logs, seed=seed)
    finally:
        farm.api.stop()
    if outcome.ended_by_us or outcome.nodes_left:
        print(f"failed: {name}, seed {seed}: {outcome}", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
