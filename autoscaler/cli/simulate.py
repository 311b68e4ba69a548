"""`simulate`: what pipelines would cost and how long their jobs would wait with these settings, beside others."""

import dataclasses
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from autoscaler.cli.arguments import Arguments
from autoscaler.cli.recorded import read_policy
from autoscaler.deciding.places import Template, templates
from autoscaler.errors import BadRequest
from autoscaler.policy import Policy
from autoscaler.simulator.inputs import Workload, read_workload
from autoscaler.simulator.ours import Ours
from autoscaler.simulator.page import page
from autoscaler.simulator.peers import PackingLike
from autoscaler.simulator.run import Controller, Result, simulated
from autoscaler.snapshot import Size

_MOST_SEEDS = 1_000
_PEER = "Karpenter-like default"
_HEADINGS = (
    *("", "cost", "of it idle", "per job", "mean wait s", "p95 wait s", "makespan h", "critical path h"),
    *("nodes", "lost jobs", "killed by us"),
)


def run(arguments: Arguments) -> int:
    """Print a table of means over the seeds. Raises BadRequest."""
    if not 1 <= arguments.seeds <= _MOST_SEEDS:
        raise BadRequest(f"--seeds is between 1 and {_MOST_SEEDS}")
    settings_file, workload_file = _files(arguments)
    policy, workload = read_policy(settings_file), read_workload(workload_file)
    contestants: dict[str, tuple[Callable[[], Controller], str]] = {
        str(settings_file): (_ours(policy, settings_file), arguments.placement)
    }
    _check(workload, policy, settings_file)
    if arguments.against:
        other = Path(arguments.against)
        old = read_policy(other)
        contestants[str(other)] = (_ours(old, other), arguments.placement)
        _check(workload, old, other)
    kinds = list(templates(policy, (), {}).values())
    contestants[_PEER] = (lambda: PackingLike(kinds, idle_seconds=300, validation_seconds=15), "least")
    results = {
        name: [_one(workload, make, placement, seed) for seed in range(1, arguments.seeds + 1)]
        for name, (make, placement) in contestants.items()
    }
    table = _table(results)
    sys.stdout.write(_document(results) if arguments.json else table)
    if arguments.page:
        _write(Path(arguments.page), page(table, [(name, found[0]) for name, found in results.items()]))
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


def _ours(policy: Policy, source: Path) -> Callable[[], Controller]:
    if not policy.pools:
        raise BadRequest(f"{source} has no [[pools]]")
    return lambda: Ours(policy)


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


def _one(workload: Workload, make: Callable[[], Controller], placement: str, seed: int) -> Result:
    return simulated(workload.drawn(seed), make(), workload.conditions, placement=placement, seed=seed)


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
        )
        rows.append((name if all(one.is_over for one in found) else f"{name} (not over)", *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "".join(
        "  ".join((row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))))
        + "\n"
        for row in rows
    )


def _mean(found: list[Result], figure: str) -> float:
    return float(statistics.mean(getattr(one, figure) for one in found))


def _document(results: dict[str, list[Result]]) -> str:
    figures = [field.name for field in dataclasses.fields(Result) if field.name not in {"timeline", "spans", "is_over"}]
    document = {name: {figure: _mean(found, figure) for figure in figures} for name, found in results.items()}
    return msgspec.json.encode(document).decode() + "\n"


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8")
    except OSError as error:
        raise BadRequest(f"the page {path} can't be written: {error.strerror}") from error
