"""What sizes waste, and how often they get builds killed: ours beside others, on public traces, replayed as they came.

usage: scripts/bench sizing [--quick] [--sensitivity] [--data FOLDER] [--sizey FOLDER]
Waste is memory asked for and not used, in GB·h (10^9 bytes); a killed attempt uses nothing. Failed: with a killed attempt.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from scripts.benches.parts.contest import table
from scripts.benches.parts.sizing_cores import CoreHours, by_phases, by_work, core_hours
from scripts.benches.parts.sizing_peers import peers
from scripts.benches.parts.sizing_rounds import Move, moves, timeline
from scripts.benches.parts.sizing_sizey import sizey
from scripts.benches.parts.sizing_traces import DATA, NODE_BYTES, traces
from sizing.observations import Observation, PolicySettings
from sizing.policies import min_waste
from sizing.policies.table import POLICIES
from sizing.replay import Sizing, Totals, by_policy, replayed, totals

OURS = "min_waste"
_GB = 10**9
_SETTINGS = PolicySettings(cap_bytes=NODE_BYTES)
_MOST_WASTE, _MOST_FAILED, _MOST_ATTEMPTS = 14_000, 0.025, 5

Tasks = Mapping[str, list[Observation]]
Found = dict[str, Totals]


def main() -> int:
    """Replay, print tables and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench sizing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ours alone: within 50 seconds")
    parser.add_argument("--sensitivity", action="store_true", help="each constant smaller and larger; minutes")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="FOLDER", help=f"requests, peaks and sizey/ (default: {DATA})"
    )
    parser.add_argument("--sizey", type=Path, metavar="FOLDER", help="a checkout of Sizey, with its Python in venv/: hours")
    arguments = parser.parse_args()
    if not (arguments.data / "sizey").is_dir():
        print(
            f"scripts/bench sizing: no folder {arguments.data / 'sizey'}; name the one with the traces: --data",
            file=sys.stderr,
        )
        return 2
    tasks = traces(arguments.data)
    ways: dict[str, Sizing] = {f"ours: {OURS}": by_policy(OURS, _SETTINGS)}
    if not arguments.quick:
        ways |= {f"ours: {name}": by_policy(name, _SETTINGS) for name in POLICIES if name != OURS} | peers()
    found = {name: _replayed(name, way, tasks) for name, way in ways.items()}
    delayed = _replayed(f"ours: {OURS}, kills delay", ways[f"ours: {OURS}"], tasks, delays=True)
    if arguments.sizey:
        found["Sizey"] = sizey(arguments.sizey, arguments.data)
    print(_memory_table(found | {f"ours: {OURS}, kills delay": delayed}))
    ours = found.pop(f"ours: {OURS}")
    print("\nOurs by trace")
    print(_trace_table(ours))
    cores = {name: {trace: core_hours(of, model) for trace, of in tasks.items()} for name, model in _MODELS.items()}
    print("\nCores: what ours asks for, over what users asked for (run time over the measured one)")
    print(_cores_table(cores))
    rounds = moves(arguments.data)
    print("\nSpack's hand-made rounds, GB")
    print(_rounds_table(rounds, arguments.data))
    if arguments.sensitivity:
        print("\nEach constant of min_waste changed alone; then the choice that is best without a trace, on that trace")
        print("\n".join(_sensitivity(tasks)))
    print(_json(ours, delayed, found, cores, rounds))
    return 0


_MODELS = {"work": by_work, "phases": by_phases}


def _replayed(name: str, way: Sizing, tasks: Tasks, *, delays: bool = False) -> Found:
    print(f"replay: {name}", file=sys.stderr, flush=True)
    return {trace: totals(replayed(of, way, cap_bytes=NODE_BYTES, delays=delays)) for trace, of in tasks.items()}


def _sum(found: Found) -> Totals:
    every = list(found.values())
    return Totals(
        builds=sum(one.builds for one in every),
        waste_gb_hours=sum(one.waste_gb_hours for one in every),
        cold_waste_gb_hours=sum(one.cold_waste_gb_hours for one in every),
        failed=sum(one.failed for one in every),
        most_attempts=max(one.most_attempts for one in every),
    )


def _memory_table(found: dict[str, Found]) -> str:
    names = list(next(iter(found.values())))
    rows: list[tuple[str, ...]] = [("GB·h", *names, "total", "failed", "attempts", "cold")]
    for way, traces_of in found.items():
        whole = _sum(traces_of)
        wastes = (f"{traces_of[name].waste_gb_hours:,.1f}" for name in names)
        share = f"{whole.cold_waste_gb_hours / whole.waste_gb_hours:.0%}"
        rows.append((way, *wastes, f"{whole.waste_gb_hours:,.0f}", _percent(whole), str(whole.most_attempts), share))
    return table(rows)


def _trace_table(found: Found) -> str:
    rows: list[tuple[str, ...]] = [("", "tasks", "waste GB·h", "failed", "most attempts", "cold waste GB·h")]
    for name, one in found.items():
        cold = f"{one.cold_waste_gb_hours:,.1f}"
        rows.append((name, f"{one.builds:,}", f"{one.waste_gb_hours:,.1f}", _percent(one), str(one.most_attempts), cold))
    return table(rows)


def _percent(one: Totals) -> str:
    return f"{one.failed / one.builds:.2%}"


def _cores_table(cores: dict[str, dict[str, CoreHours]]) -> str:
    names = list(next(iter(cores.values())))
    rows: list[tuple[str, ...]] = [("model", *names, "total")]
    for model, of in cores.items():
        shares = (_core_shares([of[name]]) for name in names)
        rows.append((model, *(f"{asked:.3f} ({wall:.3f})" for asked, wall in [*shares, _core_shares(list(of.values()))])))
    return table(rows)


def _core_shares(of: list[CoreHours]) -> tuple[float, float]:
    asked = sum(one.asked for one in of) / sum(one.users for one in of)
    return asked, sum(one.modeled_hours for one in of) / sum(one.measured_hours for one in of)


def _rounds_table(rounds: list[Move], data: Path) -> str:
    rows: list[tuple[str, ...]] = [("round", "package", "by hand", "largest published peak", "known", "ours from then on")]
    for move in rounds:
        if move.peak_bytes and move.ours_bytes:
            by_hand = f"{move.before_bytes / _GB:g} → {move.after_bytes / _GB:g}"
            peak, ours = f"{move.peak_bytes / _GB:.1f}", f"{move.ours_bytes / _GB:.1f}"
            rows.append((str(move.round), move.package, by_hand, peak, str(move.known), ours))
    lines = [table(rows)]
    for when in sorted({move.round for move in rounds}):
        untested = [move.package for move in rounds if move.round == when and not move.peak_bytes]
        of = sum(move.round == when for move in rounds)
        lines.append(
            f"{when}: {of} changed; not testable, no peak was published before ({len(untested)}): {' '.join(untested)}"
        )
    steps = (f"{size / _GB:.1f} on {known} (a peak of {peak:.1f})" for known, peak, size in timeline(data, "py-torch"))
    lines.append(f"py-torch by ours: {', '.join(steps)}")
    return "\n".join(lines)


def _variants() -> Iterator[tuple[str, PolicySettings, min_waste.Assumptions]]:
    """Yield the policy with one constant changed, a name for each."""
    assumed = min_waste.Assumptions()
    yield "as it is", _SETTINGS, assumed
    for cost in (1.0, 2.0, 4.0, 6.0):
        yield f"kill_costs_gb_hours={cost:g}", replace(_SETTINGS, kill_costs_gb_hours=cost), assumed
    for name, value in asdict(assumed).items():
        for factor in (0.5, 2.0):
            changed = replace(assumed, **{name: value * factor if name != "neighbor_margin" else 1 + (value - 1) * factor})
            yield f"{name}={getattr(changed, name):g}", _SETTINGS, changed
    for margin in (115, 150, 200):
        yield f"most_margin_percent={margin}", replace(_SETTINGS, most_margin_percent=margin), assumed
    for tiers in (4, 32):
        yield f"tiers_per_doubling={tiers}", replace(_SETTINGS, tiers_per_doubling=tiers), assumed


def _sensitivity(tasks: Tasks) -> Iterator[str]:
    """Yield a line for each variant, and for each trace what the best variant of the other traces gives there."""
    found = {
        name: _replayed(name, by_policy(partial(min_waste.ladder, assumed=assumed), settings), tasks)
        for name, settings, assumed in _variants()
    }
    rows: list[tuple[str, ...]] = [("", "GB·h", "failed", "attempts")]
    for name, of in found.items():
        whole = _sum(of)
        rows.append((name, f"{whole.waste_gb_hours:,.0f}", _percent(whole), str(whole.most_attempts)))
    yield table(rows)
    chosen: Found = {}
    for trace in tasks:
        others = {name: _sum({other: one for other, one in of.items() if other != trace}) for name, of in found.items()}
        allowed = {name: one for name, one in others.items() if one.failed <= _MOST_FAILED * one.builds}
        best = min(allowed or others, key=lambda name: others[name].waste_gb_hours)
        chosen[trace] = found[best][trace]
        yield f"without {trace}: {best}; {trace}: {chosen[trace].waste_gb_hours:,.1f} GB·h, {_percent(chosen[trace])} failed"
    whole = _sum(chosen)
    yield f"each trace by the choice of the others: {whole.waste_gb_hours:,.0f} GB·h, {_percent(whole)} failed"


def _json(
    ours: Found, delayed: Found, others: dict[str, Found], cores: dict[str, dict[str, CoreHours]], rounds: list[Move]
) -> str:
    whole = _sum(ours)
    asked, wall = _core_shares(list(cores["work"].values()))
    users_waste = others.get("user request")
    figures = _figures(whole)
    result = {
        "bench": "sizing",
        "ours": {
            "policy": OURS,
            **figures,
            "kills_delay": _figures(_sum(delayed)),
            "traces": {name: _figures(one) for name, one in ours.items()},
            "core_hours_asked": round(asked, 3),
            "wall": round(wall, 3),
            "rounds_testable": sum(move.peak_bytes is not None for move in rounds),
            "rounds_changed": len(rounds),
            "within": (
                whole.waste_gb_hours <= _MOST_WASTE
                and whole.failed <= _MOST_FAILED * whole.builds
                and whole.most_attempts <= _MOST_ATTEMPTS
            ),
        },
        "peers": {name: _figures(_sum(of)) for name, of in others.items()},
    }
    if users_waste:
        result["ratios"] = {"waste_of_user_request": round(whole.waste_gb_hours / _sum(users_waste).waste_gb_hours, 3)}
    return json.dumps(result)


def _figures(one: Totals) -> dict[str, float]:
    return {
        "waste_gbh": round(one.waste_gb_hours, 1),
        "failed_share": round(one.failed / one.builds, 5),
        "attempts_max": one.most_attempts,
        "cold_share": round(one.cold_waste_gb_hours / one.waste_gb_hours, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
