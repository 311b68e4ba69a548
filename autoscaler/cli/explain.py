"""`explain`: why a pod or a job of a job graph waits, or why a node stays or goes, in words, from a recorded Snapshot."""

import sys
from collections.abc import Iterator
from pathlib import Path

from autoscaler.cli.arguments import Arguments
from autoscaler.cli.plan import action, printed
from autoscaler.cli.recorded import read_policy, read_snapshot
from autoscaler.deciding.decide import decide
from autoscaler.errors import BadRequest
from autoscaler.scale_plan import LaunchNodes, Note, ScalePlan
from autoscaler.snapshot import Graph, GraphJob, Node, Pod, Snapshot
from executor.units import in_cores, in_gib, in_time

_LEAST_HASH = 5
"""Letters of a spec hash that name a job, as Spack's own commands take them."""
_MOST_NEEDS = 20


def run(arguments: Arguments) -> int:
    """Print what is known of a pod, a node or a job of a graph. Raises BadRequest if the Snapshot has none of that name."""
    policy, snapshot = read_policy(Path(arguments.settings)), read_snapshot(arguments.snapshot)
    now = snapshot.taken_at if arguments.now is None else arguments.now
    plan = decide(snapshot, policy, now)
    lines = list(explained(arguments.subject, snapshot, plan, now))
    if not lines:
        raise BadRequest(f"the Snapshot has no pod, no node and no job of a graph {arguments.subject!r}")
    sys.stdout.write(printed(lines))
    return 0


def explained(subject: str, snapshot: Snapshot, plan: ScalePlan, now: float) -> Iterator[str]:
    """Yield sentences about each pod, node and job of that name; none if there is none. A job's is its package or hash."""
    for pod in snapshot.pods:
        if subject in {pod.name, pod.uid}:
            yield from _pod(pod, plan, now)
    for node in snapshot.nodes:
        if node.name == subject:
            yield from _node(node, snapshot, plan, now)
    for graph in snapshot.graphs:
        for job in graph.jobs:
            if subject == job.name or (len(subject) >= _LEAST_HASH and job.key.startswith(subject.removeprefix("/"))):
                yield from _job(job, graph, snapshot, plan, now)


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


def _job(job: GraphJob, graph: Graph, snapshot: Snapshot, plan: ScalePlan, now: float) -> Iterator[str]:
    """Yield what a job of a graph waits for: its pod says it, else what it needs."""
    pods = {pod.graph_job: pod for pod in snapshot.pods if pod.graph == graph.digest}
    if job.key in pods:
        yield from _pod(pods[job.key], plan, now)
        return
    title = f"{_title(job)} of the job graph {graph.digest[:12]}"
    if job.key in graph.done:
        yield f"{title} has ended"
        return
    jobs = {one.key: one for one in graph.jobs}
    open_needs = [need for need in job.needs if need in jobs and need not in graph.done]
    if not open_needs:
        yield f"{title} has no pod: all that it needs has ended, so GitLab has not started it yet, or no longer will"
        return
    yield f"{title} has no pod yet: of the {len(job.needs)} jobs that it needs, {len(open_needs)} have not ended"
    for need in open_needs[:_MOST_NEEDS]:
        yield f"  {_title(jobs[need])} {_progress(jobs[need], graph, jobs, pods.get(need), plan, now)}"
    if len(open_needs) > _MOST_NEEDS:
        yield f"  … and {len(open_needs) - _MOST_NEEDS} more"


def _progress(  # noqa: PLR0913, PLR0917  a job, its graph, and what is seen of it
    job: GraphJob, graph: Graph, jobs: dict[str, GraphJob], pod: Pod | None, plan: ScalePlan, now: float
) -> str:
    """Return how far a job is that another one needs."""
    if pod is not None and not pod.node:
        waiting = next((one for one in plan.waiting if one.uid == pod.uid), None)
        return f"waits for a node: {waiting.reason}: {waiting.detail}" if waiting else "waits for a node"
    if pod is not None:
        text = f"runs on {pod.node}" + (f" for {in_time(now - pod.bound_at)}" if pod.bound_at else "")
        expected = pod.expected_seconds or job.expected_seconds
        if expected is None or not pod.bound_at:
            return text
        left = pod.bound_at + expected - now
        return (
            f"{text}, expected to end in {in_time(left)}" if left > 0 else f"{text}, {in_time(-left)} over its expected time"
        )
    open_needs = sum(need in jobs and need not in graph.done for need in job.needs)
    if open_needs:
        return f"has no pod yet: {open_needs} of the jobs that it needs have not ended"
    if job.key in graph.unknown:
        return "has no pod: it is not known whether it has ended, or what it needs has failed"
    return "has no pod yet"


def _title(job: GraphJob) -> str:
    return f"{job.name or 'a job'} /{job.key[:7]}"
