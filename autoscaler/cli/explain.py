"""`explain`: why a pod waits, or why a node stays or goes, in words, from a recorded Snapshot."""

import sys
from collections.abc import Iterator
from pathlib import Path

from autoscaler.cli.arguments import Arguments
from autoscaler.cli.plan import action
from autoscaler.cli.recorded import read_snapshot
from autoscaler.deciding.decide import decide
from autoscaler.errors import BadRequest
from autoscaler.scale_plan import LaunchNodes, Note, ScalePlan
from autoscaler.settings import read_settings
from autoscaler.snapshot import Node, Pod, Snapshot
from executor.units import in_cores, in_gib, in_time


def run(arguments: Arguments) -> int:
    """Print what is known of a pod or a node. Raises BadRequest if the Snapshot has neither."""
    settings, snapshot = read_settings(Path(arguments.settings)), read_snapshot(arguments.snapshot)
    now = snapshot.taken_at if arguments.now is None else arguments.now
    plan = decide(snapshot, settings.policy, now)
    lines = list(explained(arguments.subject, snapshot, plan, now))
    if not lines:
        raise BadRequest(f"the Snapshot has neither a pod nor a node {arguments.subject!r}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def explained(subject: str, snapshot: Snapshot, plan: ScalePlan, now: float) -> Iterator[str]:
    """Yield sentences about each pod and node of that name; none if there is none."""
    for pod in snapshot.pods:
        if subject in {pod.name, pod.uid}:
            yield from _pod(pod, plan, now)
    for node in snapshot.nodes:
        if node.name == subject:
            yield from _node(node, snapshot, plan, now)


def _pod(pod: Pod, plan: ScalePlan, now: float) -> Iterator[str]:
    size = f"{in_cores(pod.size.cpu_millicores)} cores and {in_gib(pod.size.memory_bytes)}"
    if pod.node:
        yield f"{pod.name} ({size}) runs on {pod.node}"
        return
    yield f"{pod.name} asks for {size} and waits for {in_time(now - pod.created_at)}"
    waiting = next((one for one in plan.waiting if one.uid == pod.uid), None)
    if waiting is None:
        reason = (
            "a scheduling gate holds it back" if pod.is_gated else "it ends" if pod.is_terminating else "it is not a job"
        )
        yield f"  nothing is ordered for it: {reason}"
        return
    yield f"  {waiting.reason}: {waiting.detail}"
    if waiting.expected_start is not None and waiting.expected_start > now:
        yield f"  expected to start in {in_time(waiting.expected_start - now)}"
    for line in plan.lines:
        if isinstance(line, LaunchNodes) and pod.name in line.pods:
            yield f"  ordered now: {line.message}"
        if isinstance(line, Note) and line.subject == pod.name:
            yield f"  {line.message}"
    if pod.unread_constraints:
        yield f"  not considered: {', '.join(pod.unread_constraints)}"
    if pod.scheduler_message:
        yield f"  the scheduler: {pod.scheduler_message}"


def _node(node: Node, snapshot: Snapshot, plan: ScalePlan, now: float) -> Iterator[str]:
    state = next(one for one in plan.nodes if one.node == node.name)
    age = in_time(now - node.created_at)
    yield f"{node.name} ({node.type or 'of unknown type'}, {age} old) is {state.state}" + (
        f": {state.reason}" if state.reason else ""
    )
    for line in plan.lines:
        if getattr(line, "node", None) == node.name:
            yield f"  {action(line)}: {line.message}"
    pods = [pod.name for pod in snapshot.pods if pod.node == node.name and pod.kind != "daemon" and pod.occupies]
    if pods:
        yield f"  its pods: {', '.join(pods[:10])}{' …' if len(pods) > 10 else ''}"
    for line in plan.lines:
        if isinstance(line, Note) and line.reason in {"stale_input", "unhealthy"}:
            yield f"  {line.message}"
