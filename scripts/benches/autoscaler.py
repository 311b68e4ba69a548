"""What nodes cost and how long jobs wait: ours beside other autoscalers, simulated; and how long a decision takes.

usage: scripts/bench autoscaler [--quick | --placement] [--seeds N | A-B] [--data FOLDER]
Five real pipelines' structures and requests, run times partly drawn (docs/autoscaler.md, "The simulator"). All meet the
same jobs. Defaults, such as those of `look_ahead` and `largest_type`, were chosen on seeds 1 to 10; what they do on others
says `--seeds 21-40`.

usage: scripts/bench autoscaler --live [--quick] [--trace STACK] [--compress FACTOR] [--timelines FILE] [--record]
One of the pipelines on a real API server and scheduler, under real Karpenter and under ours (docs/autoscaler.md, "Beside
Karpenter"). `--draw FILE` makes the page of what `--timelines` has written, without another run.
"""

import argparse
import dataclasses
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from autoscaler.deciding.decide import decide
from autoscaler.deciding.places import Template, templates
from autoscaler.policy import Caps, Policy, Pool
from autoscaler.scale_plan import LaunchNodes
from autoscaler.simulator.ours import Ours
from autoscaler.simulator.peers import EscalatorLike, PackingLike, SimpleHeuristic
from autoscaler.simulator.run import Controller, Result, simulated
from autoscaler.simulator.workload import Conditions
from autoscaler.snapshot import Node, Pod, PoolState, Size, Snapshot
from scripts import proof_page
from scripts.benches.parts import autoscaler_nodes
from scripts.benches.parts.autoscaler_traces import DATA, instance_types, pipelines
from scripts.benches.parts.contest import table

if TYPE_CHECKING:
    from scripts.benches.parts.autoscaler_live import Live

PEER = "Karpenter-like, default"
OURS = "ours: lookahead"
_MOST_COST, _MOST_DECIDE_SECONDS = 0.6, 1.0
_MOST_LIVE_COST = 0.7
_GROUP_TYPE = "m5.4xlarge"
PAGE = "autoscaler-live-nodes"


class Contestant(NamedTuple):
    """A controller, and how the cluster's scheduler places jobs beside it."""

    make: Callable[[], Controller]
    placement: str
    by_rank: bool = False


def policy(name: str = "lookahead") -> Policy:
    """Return the policy with its defaults on one pool; caps that no pipeline meets."""
    pool = Pool(name="linux", types=instance_types(), most_nodes=400)
    caps = Caps(most_nodes=400, most_cost_per_hour=1e6, most_step_nodes=400)
    return msgspec.convert({"name": name, "pools": [msgspec.to_builtins(pool)], "caps": msgspec.to_builtins(caps)}, Policy)


def _known() -> dict[str, Template]:
    return {kind: template for (_, kind, _), template in templates(policy(), (), {}).items()}


def contestants(*, quick: bool = False) -> dict[str, Contestant]:
    """Return who takes part; `quick`: ours and the peer."""
    every = list(_known().values())
    group = _known()[_GROUP_TYPE]
    found = {
        PEER: Contestant(lambda: PackingLike(every, idle_seconds=300, validation_seconds=15), "least"),
        OURS: Contestant(lambda: Ours(policy()), "most"),
    }
    if quick:
        return found
    return found | {
        "Karpenter-like, MostAllocated": Contestant(
            lambda: PackingLike(every, idle_seconds=300, validation_seconds=15), "most"
        ),
        "CA-like, one group, 10 min": Contestant(lambda: PackingLike([group], idle_seconds=600), "least"),
        "Escalator-like, 70 %": Contestant(lambda: EscalatorLike(group), "least"),
        "deployed, busy, pending (seed)": Contestant(lambda: SimpleHeuristic(group), "least"),
        "ours: pack": Contestant(lambda: Ours(policy("pack")), "most"),
        "ours: counts": Contestant(lambda: Ours(policy("counts")), "most"),
        "ours, LeastAllocated": Contestant(lambda: Ours(policy()), "least"),
        "ours, soft affinity by expected end": Contestant(lambda: Ours(policy()), "affinity"),
        "ours, exactly by expected end": Contestant(lambda: Ours(policy()), "align"),
    }


def placements() -> dict[str, Contestant]:
    """Return ours with each way in which a scheduler may place jobs, and the peer."""
    found = contestants()
    return {PEER: found[PEER], OURS: found[OURS]} | {name: one for name, one in found.items() if name.startswith("ours, ")}


def seeds_of(text: str) -> range:
    """Return the seeds of `N` (1 to N) or `A-B`. Raises ArgumentTypeError."""
    first, dash, last = text.partition("-")
    try:
        found = range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)
    except ValueError:
        found = range(0)
    if not found or found[0] < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds nor A-B with A <= B")
    return found


def main() -> int:
    """Simulate, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench autoscaler", description=__doc__)
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--quick", action="store_true", help="ours and the Karpenter-like default, 3 seeds")
    some.add_argument("--placement", action="store_true", help="ours with each way to place jobs, and that default")
    parser.add_argument("--seeds", type=seeds_of, metavar="N|A-B", help="seeds 1 to N, or A to B (default: 20; quick: 3)")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help=f"the tables (default: {DATA})")
    parser.add_argument("--live", action="store_true", help="on real parts, beside real Karpenter")
    parser.add_argument("--trace", default="", metavar="STACK", help="of --live (default: e4s; quick: data-vis-sdk)")
    parser.add_argument(
        "--compress", type=float, default=0, help="of --live: times are divided by it (default: 10; quick: 30)"
    )
    parser.add_argument("--timelines", type=Path, metavar="FILE", help="of --live: write each machine's time, as JSON")
    parser.add_argument("--record", action="store_true", help=f"of --live: write docs/proofs/{PAGE}.md and its picture")
    parser.add_argument("--draw", type=Path, metavar="FILE", help=f"write docs/proofs/{PAGE}.md of what --timelines wrote")
    arguments = parser.parse_args()
    if arguments.draw:
        return draw(arguments.draw)
    if not (arguments.data / "e4s_dag.csv").exists():
        print(f"scripts/bench autoscaler: no {arguments.data / 'e4s_dag.csv'}; name the folder: --data", file=sys.stderr)
        return 2
    if arguments.live:
        return live(arguments)
    seeds = arguments.seeds or seeds_of("3" if arguments.quick else "20")
    names = list(placements() if arguments.placement else contestants(quick=arguments.quick))
    with multiprocessing.Pool(2) as workers:
        work = [(name, seed, arguments.data) for seed in seeds for name in names]
        results = dict(zip([(name, seed) for name, seed, _ in work], workers.map(_run, work, chunksize=1), strict=True))
    found = {name: [results[name, seed] for seed in seeds] for name in names}
    print(_table(found))
    took = decide_seconds()
    print(f"\ndecide() at 1,000 nodes and 10,000 pods: {took:.2f} s of CPU time")
    print(_json(found, took, seeds))
    return 0


def live(arguments: argparse.Namespace) -> int:
    """Run one pipeline under real Karpenter and under ours; print both, and how they compare."""
    from scripts.benches.parts.autoscaler_live import Live, measured  # noqa: PLC0415  the simulator needs no control plane

    at = proof_page.commit()
    compress = arguments.compress or (30.0 if arguments.quick else 10.0)
    stack = arguments.trace or ("data-vis-sdk" if arguments.quick else "e4s")
    known = {pipeline.name: pipeline for pipeline in pipelines(arguments.data, 1)}
    if stack not in known:
        print(f"scripts/bench autoscaler: no pipeline {stack!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    found: dict[str, Live] = {}
    for side in ("karpenter", "ours"):
        with tempfile.TemporaryDirectory(prefix="live-") as folder:
            found[side] = measured(side, known[stack].jobs, Path(folder), compress=compress)
    document = live_document(found, stack, len(known[stack].jobs), compress, quick=arguments.quick, at=at)
    print(f"{document['figures']['title']}\n\n{document['table']}")
    if arguments.timelines:
        arguments.timelines.write_text(json.dumps(document), "utf-8")
    if arguments.record:
        _write_page(json.dumps(document).encode())
    print(json.dumps(document["figures"]))
    return 0


def draw(timelines: Path) -> int:
    """Write the page of a run whose timelines were kept."""
    try:
        _write_page(timelines.read_bytes())
    except (OSError, KeyError, TypeError, msgspec.MsgspecError) as error:
        print(f"scripts/bench autoscaler: {timelines} is not what --timelines writes: {error!r}", file=sys.stderr)
        return 2
    return 0


def _write_page(content: bytes) -> None:
    found = autoscaler_nodes.read(content)
    text = autoscaler_nodes.page(found, picture_name=f"{PAGE}.svg")
    proof_page.PAGES.joinpath(f"{PAGE}.svg").write_text(autoscaler_nodes.picture(found), "utf-8")
    proof_page.PAGES.joinpath(f"{PAGE}.md").write_text(text, "utf-8")


def live_document(  # noqa: PLR0913  what a run was
    found: "dict[str, Live]", stack: str, jobs: int, compress: float, *, quick: bool, at: str
) -> dict[str, Any]:
    """Return what `--timelines` writes: the figures of the last line, the table, and each machine's time."""
    ours, peer = found["ours"], found["karpenter"]
    within = ours.cost <= _MOST_LIVE_COST * peer.cost and ours.p95_wait <= peer.p95_wait and not (ours.lost or peer.lost)
    figures = {
        "bench": "autoscaler --live",
        "title": f"{stack}: {jobs} jobs, times divided by {compress:g}, stretched again here",
        "trace": stack,
        "compress": compress,
        "commit": at,
        "date": proof_page.today(),
        "ratios": {
            figure: round(getattr(ours, figure) / getattr(peer, figure), 3) if getattr(peer, figure) else None
            for figure in ("cost", "net_cost", "p95_wait")
        },
        "sides": {
            side: {key: value for key, value in dataclasses.asdict(one).items() if key != "timeline"}
            for side, one in found.items()
        },
        "within": None if quick else within,
    }
    timelines = {side: msgspec.to_builtins(one.timeline) for side, one in found.items()}
    return {"figures": figures, "table": _live_table(found), "timelines": timelines}


def _live_table(found: "dict[str, Live]") -> str:
    headings = (
        "", "cost $", "net $", "wait s", "p95 s", "makespan h", "machines", "lost", "start s", "end s", "CPU s", "MiB",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [headings]
    for side, one in found.items():
        rows.append(
            (
                side, f"{one.cost:.2f}", f"{one.net_cost:.2f}", f"{one.mean_wait:.0f}", f"{one.p95_wait:.0f}",
                f"{one.makespan / 3600:.2f}", str(one.machines), str(one.lost), f"{one.fixed.start_seconds:.1f}",
                f"{one.fixed.end_seconds:.1f}", _each(one.cpu_seconds, "{:.1f}"), _each(one.memory_mib, "{:.0f}"),
            )
        )  # fmt: skip
    return table(rows)


def _each(figures: dict[str, float], form: str) -> str:
    """Return the figures of each process: `12.3 (karpenter), 4.5 (ours)`."""
    return ", ".join(f"{form.format(value)} ({name})" for name, value in figures.items())


def _run(work: tuple[str, int, Path]) -> Result:
    name, seed, data = work
    one = contestants()[name]
    return simulated(
        pipelines(data, seed), one.make(), Conditions(), placement=one.placement, by_rank=one.by_rank, seed=seed
    )


def _mean(results: list[Result], figure: str) -> float:
    return float(statistics.mean(getattr(one, figure) for one in results))


def _table(found: dict[str, list[Result]]) -> str:
    headings = ("", "cost $", "idle $", "wait s", "p95 s", "makespan h", "critical path h", "nodes", "killed by us")
    rows: list[tuple[str, ...]] = [headings]
    for name, results in found.items():
        figures = (
            f"{_mean(results, 'cost'):.2f}",
            f"{_mean(results, 'idle_cost'):.2f}",
            f"{_mean(results, 'mean_wait'):.0f}",
            f"{_mean(results, 'p95_wait'):.0f}",
            f"{_mean(results, 'makespan') / 3600:.2f}",
            f"{_mean(results, 'critical_path') / 3600:.2f}",
            f"{_mean(results, 'launched'):.0f}",
            str(sum(one.killed_by_us for one in results)),
        )
        rows.append((name, *figures))
    return table(rows)


def large_snapshot(nodes: int = 1_000, pods: int = 10_000) -> tuple[Snapshot, Policy]:
    """Return a Snapshot of a large farm, and the policy: half of the pods run, the rest waits, of 200 sizes."""
    now = 1_790_000_000.0
    kinds = [kind for kind in instance_types() if kind.name in {"m5.4xlarge", "c5.4xlarge", "r5.2xlarge", "m5.2xlarge"}]
    some = []
    for number in range(nodes):
        kind = kinds[number % len(kinds)]
        some.append(
            Node(
                name=f"n{number}", pool="linux", type=kind.name, instance=f"i{number}", created_at=now - 5000,
                allocatable=kind.allocatable, labels={"kubernetes.io/hostname": f"n{number}"},
            )
        )  # fmt: skip
    jobs = []
    for number in range(pods):
        size = Size(cpu_millicores=250 + 50 * (number * 7 % 200), memory_bytes=(200 + 40 * (number * 7 % 200)) << 20)
        bound = number < pods // 2
        if bound:
            size = Size(cpu_millicores=300 + number % 7, memory_bytes=(300 + number % 11) << 20)
        jobs.append(
            Pod(
                uid=f"u{number}", name=f"p{number}", node=f"n{number % nodes}" if bound else "",
                phase="Running" if bound else "Pending", size=size, created_at=now - 60 - number / 1000,
                bound_at=now - 50 if bound else 0.0, expected_seconds=60.0 + number % 900,
            )
        )  # fmt: skip
    machines = tuple(one.instance for one in some)
    seen = Snapshot(
        taken_at=now,
        inputs=dict.fromkeys(("pods", "nodes", "pools"), now),
        pods=tuple(jobs),
        nodes=tuple(some),
        pools=(PoolState(name="linux", desired=nodes, instances=machines),),
    )
    caps = Caps(most_nodes=2 * nodes, most_cost_per_hour=1e6, most_step_nodes=100)
    pool = Pool(name="linux", types=instance_types(), most_nodes=2 * nodes)
    return seen, Policy(pools=(pool,), caps=caps)


def decide_seconds() -> float:
    """Return the median of five decisions on the large Snapshot, in seconds of CPU time: other work does not count."""
    seen, settled = large_snapshot()
    times: list[float] = []
    for _ in range(5):
        began = time.process_time()
        plan = decide(seen, settled, seen.taken_at)
        times.append(time.process_time() - began)
        assert any(isinstance(line, LaunchNodes) for line in plan.lines)
    return float(statistics.median(times))


def _json(found: dict[str, list[Result]], took: float, seeds: range) -> str:
    ours, peer = found[OURS], found[PEER]
    cost, wait = (_mean(ours, figure) / _mean(peer, figure) for figure in ("cost", "p95_wait"))
    killed = sum(one.killed_by_us for name, results in found.items() if name.startswith("ours") for one in results)
    return json.dumps(
        {
            "bench": "autoscaler",
            "seeds": f"{seeds[0]}-{seeds[-1]}",
            "chosen_on_seeds": "1-10",
            "ratios": {"cost": round(cost, 3), "p95_wait": round(wait, 3)},
            "ours": {
                "cost": round(_mean(ours, "cost"), 2),
                "p95_wait": round(_mean(ours, "p95_wait"), 1),
                "mean_wait": round(_mean(ours, "mean_wait"), 1),
                "jobs_killed": killed,
                "decide_seconds": round(took, 3),
                "within": cost <= _MOST_COST and wait <= 1 and not killed and took < _MOST_DECIDE_SECONDS,
            },
            "peers": {
                name: {"cost": round(_mean(results, "cost"), 2), "p95_wait": round(_mean(results, "p95_wait"), 1)}
                for name, results in found.items()
                if name != OURS
            },
        }
    )


if __name__ == "__main__":
    sys.exit(main())
