"""`simulate`: what pipelines would cost and how long their jobs would wait with these settings, beside others."""

import dataclasses
import datetime as dt
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from autoscaler.cli.arguments import Arguments
from autoscaler.cli.recorded import read_policy, read_snapshot
from autoscaler.deciding.places import Template, templates, with_measured
from autoscaler.errors import BadRequest
from autoscaler.policy import Policy
from autoscaler.simulator.difference import Change, difference, document, markdown
from autoscaler.simulator.inputs import Workload, parse_start, read_workload
from autoscaler.simulator.ours import Ours
from autoscaler.simulator.page import page
from autoscaler.simulator.peers import PackingLike
from autoscaler.simulator.run import Controller, Result, simulated
from autoscaler.snapshot import Size, Snapshot

_MOST_SEEDS = 1_000
_NEW, _OLD, _PEER = "new", "old", "karpenter_like"
_HEADINGS = (
    *("", "cost", "of it idle", "per job", "mean wait s", "p95 wait s", "makespan h", "critical path h"),
    *("nodes", "lost jobs", "killed by us", "decide() s"),
)


@dataclasses.dataclass(frozen=True)
class _Contestant:
    """A controller on a workload."""

    name: str
    """For people."""
    make: Callable[[], Controller]
    workload: Workload
    placement: str


def run(arguments: Arguments) -> int:
    """Print a table of means over the seeds, and what changes. Raises BadRequest."""
    if not 1 <= arguments.seeds <= _MOST_SEEDS:
        raise BadRequest(f"--seeds is between 1 and {_MOST_SEEDS}")
    settings_file, workload_file = _files(arguments)
    seen = read_snapshot(arguments.snapshot) if arguments.snapshot else None
    policy, workload = _read(settings_file, seen), read_workload(workload_file)
    _check(workload, policy, settings_file)
    contestants = {_NEW: _Contestant(str(settings_file), lambda: Ours(policy), workload, arguments.placement)}
    if arguments.against:
        contestants[_OLD] = _old(Path(arguments.against), seen, workload, arguments.placement)
        contestants[_NEW] = dataclasses.replace(contestants[_NEW], name=f"new: {settings_file}")
    kinds = list(templates(policy, (), {}).values())
    contestants[_PEER] = _Contestant(
        "Karpenter-like default", lambda: PackingLike(kinds, idle_seconds=300, validation_seconds=15), workload, "least"
    )
    start = parse_start(arguments.start) if arguments.start else workload.start
    results = {
        key: [_one(one, seed, start) for seed in range(1, arguments.seeds + 1)] for key, one in contestants.items()
    }  # fmt: skip
    names = {key: one.name for key, one in contestants.items()}
    table = _table({names[key]: found for key, found in results.items()})
    changes = difference(results[_OLD], results[_NEW]) if arguments.against else []
    text = f"{table}\n{_heading(names, arguments.seeds)}\n\n{markdown(changes)}" if changes else table
    sys.stdout.write(_document(results, names, changes, start) if arguments.json else text)
    if arguments.page:
        pictures = [(names[key], found[0]) for key, found in results.items()]
        _write(Path(arguments.page), page(table, pictures, start=start, changes=changes))
    return 0


def _files(arguments: Arguments) -> tuple[Path, Path]:
    folder = Path(arguments.example) if arguments.example else None
    if folder and not folder.is_dir():
        raise BadRequest(f"there is no folder {folder}; it holds settings.toml and workload.toml")
    if not folder and not (arguments.settings and arguments.workload):
        raise BadRequest("name a FOLDER with settings.toml and workload.toml, or --settings and --workload")
    at = folder or Path()
    return (
        Path(arguments.settings) if arguments.settings else at / "settings.toml",
        Path(arguments.workload) if arguments.workload else at / "workload.toml",
    )


def _old(given: Path, seen: Snapshot | None, workload: Workload, placement: str) -> _Contestant:
    """Return what was before: a file with settings, or a folder, which may have a workload of its own with other sizes."""
    settings_file, workload_file = (given / "settings.toml", given / "workload.toml") if given.is_dir() else (given, given)
    policy = _read(settings_file, seen)
    if workload_file != settings_file and workload_file.exists():
        workload = read_workload(workload_file)
    _check(workload, policy, settings_file)
    return _Contestant(f"old: {settings_file}", lambda: Ours(policy), workload, placement)


def _read(source: Path, seen: Snapshot | None) -> Policy:
    policy = read_policy(source)
    if not policy.pools:
        raise BadRequest(f"{source} has no [[pools]]")
    return with_measured(policy, seen) if seen else policy


def _check(workload: Workload, policy: Policy, source: Path) -> None:
    """Reject a job that fits no type: it would wait for ever."""
    kinds = list(templates(policy, (), {}).values())
    for pipeline in workload.pipelines:
        for job in pipeline.jobs:
            if not any(_fits(job.size, one) for one in kinds):
                raise BadRequest(f"the job {job.name} of {pipeline.name} fits no type of the pools of {source}")


def _fits(size: Size, place: Template) -> bool:
    has = place.type.allocatable.extended
    return (
        size.cpu_millicores <= place.cpu
        and size.memory_bytes <= place.memory
        and size.disk_bytes <= place.disk
        and all(amount <= has.get(name, 0) for name, amount in size.extended.items())
    )


def _one(contestant: _Contestant, seed: int, start: dt.datetime) -> Result:
    workload = contestant.workload
    return simulated(
        workload.drawn(seed), contestant.make(), workload.conditions, placement=contestant.placement, seed=seed,
        start=start.timestamp(),
    )  # fmt: skip


def _table(results: dict[str, list[Result]]) -> str:
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for name, found in results.items():
        figures = (
            *(f"{_mean(found, figure):.2f}" for figure in ("cost", "idle_cost")),
            f"{_mean(found, 'cost') / max(1, found[0].jobs):.4f}",
            *(f"{_mean(found, figure):.0f}" for figure in ("mean_wait", "p95_wait")),
            *(f"{_mean(found, figure) / 3600:.2f}" for figure in ("makespan", "critical_path")),
            *(f"{_mean(found, figure):.1f}" for figure in ("launched", "lost_jobs")),
            str(sum(one.killed_by_us for one in found)),
            f"{longest:.3f}" if (longest := max(one.decide_seconds for one in found)) else "",
        )
        rows.append((name if all(one.is_over for one in found) else f"{name} (not over)", *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "".join(
        "  ".join((row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))))
        + "\n"
        for row in rows
    )


def _heading(names: dict[str, str], seeds: int) -> str:
    return f"What changes ({names[_OLD]}; {names[_NEW]}), means over {seeds} seed{'s' if seeds > 1 else ''}:"


def _mean(found: list[Result], figure: str) -> float:
    return float(statistics.mean(getattr(one, figure) for one in found))


def _document(results: dict[str, list[Result]], names: dict[str, str], changes: list[Change], start: dt.datetime) -> str:
    figures = [field.name for field in dataclasses.fields(Result) if field.name not in {"timeline", "spans", "is_over"}]
    runs: dict[str, dict[str, Any]] = {
        key: {"name": names[key], "is_over": all(one.is_over for one in found)}
        | {figure: _mean(found, figure) for figure in figures}
        for key, found in results.items()
    }
    written: dict[str, Any] = {"seeds": len(results[_NEW]), "start": start, "runs": runs}
    if changes:
        written["difference"] = document(changes)
    return msgspec.json.encode(written).decode() + "\n"


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8")
    except OSError as error:
        raise BadRequest(f"the page {path} can't be written: {error.strerror}") from error
