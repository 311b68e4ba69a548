"""`plan`: what would be done with a recorded Snapshot, with the reason of each line."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from autoscaler.cli.arguments import Arguments
from autoscaler.cli.recorded import read_policy, read_snapshot
from autoscaler.deciding.decide import decide
from autoscaler.scale_plan import Line, Note, ScalePlan, to_json

_MOST_WAITING = 50


def run(arguments: Arguments) -> int:
    """Print the plan. Raises BadRequest."""
    policy, snapshot = read_policy(Path(arguments.settings)), read_snapshot(arguments.snapshot)
    plan = decide(snapshot, policy, snapshot.taken_at if arguments.now is None else arguments.now)
    if arguments.json:
        sys.stdout.write(to_json(plan).decode() + "\n")
    else:
        sys.stdout.write(printed(described(plan)))
        if policy.mode == "hints":
            sys.stdout.write("  mode hints: no node is ordered or removed; the other autoscaler is asked for room\n")
    return 0


def described(plan: ScalePlan) -> Iterator[str]:
    """Yield the plan for people: what is done, what is not, which pods wait."""
    done = [line for line in plan.lines if not isinstance(line, Note)]
    yield f"policy {plan.policy}: {len(done)} actions, {len(plan.waiting)} pods wait, {len(plan.nodes)} nodes"
    for line in plan.lines:
        yield f"  {action(line):<12} {line.reason:<16} {line.message}"
    for one in plan.waiting[:_MOST_WAITING]:
        yield f"  waits        {one.reason:<16} {one.pod}: {one.detail}"
    if len(plan.waiting) > _MOST_WAITING:
        yield f"  … {len(plan.waiting) - _MOST_WAITING} more pods wait; --json lists all"
    if plan.dry_run_pools:
        yield f"  dry run of {', '.join(plan.dry_run_pools)}: nothing of it is carried out"


def printed(lines: Iterable[str]) -> str:
    """Return lines for a terminal: texts of a Snapshot, which may come from anywhere, neither end a line nor command it."""
    return "".join(
        "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line) + "\n" for line in lines
    )


def action(line: Line) -> str:
    """Return the word for what a line does, as in the document."""
    return str(line.__struct_config__.tag)
