"""`replay`: decide again on recorded Snapshots; with other settings, where the plans differ."""

import sys
from collections import Counter
from pathlib import Path

from autoscaler.cli.arguments import Arguments
from autoscaler.cli.plan import action
from autoscaler.cli.recorded import read_policy, read_snapshots
from autoscaler.deciding.decide import decide
from autoscaler.scale_plan import LaunchNodes, Note, ScalePlan


def run(arguments: Arguments) -> int:
    """Print a line for each Snapshot. Raises BadRequest."""
    policy = read_policy(Path(arguments.settings))
    other = read_policy(Path(arguments.against)) if arguments.against else None
    differ = 0
    snapshots = read_snapshots(arguments.snapshots)
    for name, snapshot in snapshots:
        plan = decide(snapshot, policy, snapshot.taken_at)
        line = f"{Path(name).name}  {summary(plan)}"
        if other is not None:
            old = decide(snapshot, other, snapshot.taken_at)
            if (old.lines, old.waiting) == (plan.lines, plan.waiting):
                line += "  same"
            else:
                differ += 1
                line += f"  was: {summary(old)}"
        sys.stdout.write(f"{line}\n")
    if other is not None:
        sys.stdout.write(f"{differ} of {len(snapshots)} plans differ\n")
    return 0


def summary(plan: ScalePlan) -> str:
    """Return what a plan does, in one line: `launch 3 (0.58/h more), cordon 1; 4 wait`."""
    counts = Counter(action(line) for line in plan.lines if not isinstance(line, Note))
    machines = sum(line.count for line in plan.lines if isinstance(line, LaunchNodes))
    parts = [f"{name} {machines if name == 'launch' else count}" for name, count in sorted(counts.items())]
    notes = sorted({line.reason for line in plan.lines if isinstance(line, Note)})
    noted = f" ({', '.join(notes)})" if notes else ""
    return f"{', '.join(parts) or 'nothing'}; {len(plan.waiting)} wait{noted}"
