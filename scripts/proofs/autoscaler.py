"""A million simulated ticks under losses, failed boots and missing capacity: no job is ended by the autoscaler.

usage: scripts/prove autoscaler [--ticks N] [--seed S] [--record]
Small clusters, a seed each, one after the other; each tick is one look of the world, each second one a decision.
"""

import argparse
import sys
import time

from autoscaler.policy import InstanceType, Policy, Pool
from autoscaler.simulator.ours import Ours
from autoscaler.simulator.run import TICK_SECONDS
from autoscaler.simulator.workload import Conditions, JobSpec, Pipeline, drawn
from autoscaler.simulator.world import World
from autoscaler.snapshot import Size
from scripts import proof_page

_GIB = 1 << 30
_CONDITIONS = Conditions(boot_failures=0.05, no_capacity=0.1, losses_per_hour=0.5, busy_cores=1.2)
_TYPES = tuple(
    InstanceType(
        name=f"{cores}",
        allocatable=Size(cpu_millicores=cores * 1000, memory_bytes=4 * cores * _GIB),
        price_per_hour=cores / 20,
    )
    for cores in (2, 4, 8, 16)
)
_TICKS_OF_A_RUN = 2_000


def main() -> int:
    """Simulate until so many ticks have passed; print what was counted; return 1 if a job was ended by us."""
    parser = argparse.ArgumentParser(prog="scripts/prove autoscaler", description=__doc__)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/autoscaler.md")
    arguments = parser.parse_args()
    at, began = proof_page.commit(), time.monotonic()
    ticks = jobs = killed = lost = machines = aborted = 0
    seed = arguments.seed
    while ticks < arguments.ticks:
        world = _run(seed)
        totals = world.totals
        ticks += int(world.now / TICK_SECONDS)
        jobs += len(totals.waits)
        killed += totals.killed_by_us
        lost += totals.lost_jobs
        machines += totals.launched
        aborted += totals.aborted_removals
        if totals.killed_by_us:
            print(f"failed: scripts/prove autoscaler --ticks 1 --seed {seed}")
        seed += 1
    result = (
        f"{ticks:,} ticks, {jobs:,} jobs started, {machines:,} machines ordered, {lost:,} jobs lost with their machines, "
        f"{aborted:,} removals taken back; jobs ended by the autoscaler: {killed}. Seeds {arguments.seed} to {seed - 1}, "
        f"{time.monotonic() - began:.0f} s."
    )
    print(result)
    if killed == 0 and arguments.record:
        proof_page.record("autoscaler", result, at=at)
    return int(killed > 0)


def _run(seed: int) -> World:
    """Return the world after some hours in which small pipelines come one after the other."""
    pool = Pool(name="linux", types=_TYPES, most_nodes=30)
    controller = Ours(Policy(name=("lookahead", "pack", "counts")[seed % 3], pools=(pool,)))
    pipelines = [
        Pipeline(
            f"p{number}",
            600.0 * number,
            tuple(
                JobSpec(
                    f"j{job}", f"j{job}", (f"j{(job - 1) // 2}",) if job else (),
                    Size(
                        cpu_millicores=500 * (1 + (job * 7 + number + seed) % 8),
                        memory_bytes=_GIB * (1 + (job + seed) % 6),
                    ),
                    20.0 + 37.0 * ((job * 5 + number * 3 + seed) % 17),
                )
                for job in range(6)
            ),
        )
        for number in range(15)
    ]  # fmt: skip
    world = World(drawn(pipelines, _CONDITIONS, seed), _CONDITIONS, placement="least", by_rank=False, seed=seed)
    for tick in range(_TICKS_OF_A_RUN):
        world.advance(tick * TICK_SECONDS)
        world.schedule()
        controller.act(world)
    return world


if __name__ == "__main__":
    sys.exit(main())
