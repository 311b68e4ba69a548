"""Reports as text for a terminal: the graph, differences, coverage. Pure. Foreign texts are one line, and can be printed."""

from collections.abc import Iterable, Sequence

from pipelines.inside.gitlab.names import plain
from pipelines.job_graph import Job, JobGraph
from pipelines.reports.coverage import STATES, Coverage
from pipelines.reports.differences import Difference
from pipelines.reports.timing import Price, Timing, by_level, cost, seconds_of

_MOST_LINES = 40
_LEFT_OUT = ("pruned", "copy", "external")


def of_graph(graph: JobGraph, found: Timing, price: Price | None) -> str:
    """Return what is built, level by level, what is left out and why, the critical path, and what it costs."""
    built = [job for job in graph.jobs if job.state == "build"]
    lines = [f"{plain(graph.stack) or 'the stack'}: {len(built)} of {len(graph.jobs)} specs are built, {states_of(graph)}"]
    for level, jobs in enumerate(by_level(graph.jobs, found)):
        lines += ["", f"level {level + 1}"]
        lines += [f"  {title(job)}  {size_of(job)}" for job in jobs]
    for state in _LEFT_OUT:
        reasons: dict[str, list[Job]] = {}
        for job in graph.jobs:
            if job.state == state:
                reasons.setdefault(plain(job.why), []).append(job)
        for why, jobs in sorted(reasons.items()):
            lines += ["", f"{state}: {why or 'no reason given'}"]
            lines += _bounded([f"  {title(job)}" for job in jobs])
    lines += ["", *of_timing(graph, found, price)]
    return "\n".join(lines) + "\n"


def of_timing(graph: JobGraph, found: Timing, price: Price | None) -> list[str]:
    """Return the critical path, the sum of all jobs, and what they cost."""
    jobs = graph.by_key()
    if not found.path:
        return ["nothing is built"]
    lines = [
        f"critical path: {duration(found.path_seconds)}, if no job waits for a node",
        *_bounded([f"  {duration(seconds_of(jobs[key])):>8}  {title(jobs[key])}" for key in found.path]),
        f"all jobs: {duration(found.total_seconds)}, {found.core_hours:.1f} core hours, {found.gib_hours:.1f} GiB hours",
    ]
    if price is not None:
        lines.append(f"cost: {cost(found, price):.2f}, if exactly what is asked for is paid")
    if found.unmeasured:
        lines.append(f"{found.unmeasured} jobs have no measured time and count {duration(60)} each")
    if found.unsized:
        lines.append(f"{found.unsized} jobs name no size and count nothing in the hours of cores and memory")
    return lines


def of_differences(found: Sequence[Difference]) -> str:
    """Return the differences, a line each."""
    if not found:
        return "no difference\n"
    lines = []
    for kind in ("added", "rebuilt", "gone"):
        some = [each for each in found if each.kind == kind]
        if some:
            lines.append(f"{kind}: {len(some)}")
            lines += [f"  {plain(each.name)}/{each.key[:7]}  {plain('; '.join(each.causes))}" for each in some]
    return "\n".join(lines) + "\n"


def of_coverage(found: Coverage, notes: Sequence[str]) -> str:
    """Return the counts, what is not there and why, and the fixes that unlock most."""
    share = f"{found.covered} of {found.wanted} specs are there ({percent(found.covered, found.wanted)})"
    lines = [f"{plain(found.stack) or 'the stack'} on {plain(found.mirror)}: {share}"]
    lines += [f"  {count:>6} {state}: {STATES[state]}" for state, count in found.counts.items() if count]
    for state in ("broken", "failed", "blocked", "running", "waiting", "unknown", "own_mirror", "not_redistributable"):
        rows = [row for row in found.rows if row.state == state]
        if rows:
            lines += ["", f"{state}:"]
            lines += _bounded(
                [f"  {plain(row.name)}/{row.key[:7]}" + (f"  {plain(row.why)}" if row.why else "") for row in rows]
            )
    if found.fixes:
        lines += ["", "fixes that unlock most, one after the other:"]
        lines += [f"  {plain(fix.name)}/{fix.key[:7]}  unlocks {len(fix.unlocks)}" for fix in found.fixes]
    lines += [f"note: {plain(note)}" for note in notes]
    return "\n".join(lines) + "\n"


def title(job: Job) -> str:
    """Return a job's name for people."""
    version = f"@{job.version}" if job.version else ""
    return plain(f"{job.name}{version}/{job.key[:7]}")


def size_of(job: Job) -> str:
    """Return what a job asks for, and its time."""
    parts = []
    if job.size.cpu_millicores is not None:
        parts.append(f"{job.size.cpu_millicores / 1000:g} cores")
    if job.size.memory_bytes is not None:
        parts.append(f"{job.size.memory_bytes / (1 << 30):.1f} GiB")
    parts.append("time unknown" if job.expected_seconds is None else duration(job.expected_seconds))
    return ", ".join(parts)


def states_of(graph: JobGraph) -> str:
    """Return how many specs are left out, by state."""
    counts = {state: sum(job.state == state for job in graph.jobs) for state in _LEFT_OUT}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none is left out"


def duration(seconds: float) -> str:
    """Return seconds as people write them: `1:02:03`, `2:03`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def percent(part: int, whole: int) -> str:
    """Return a share; of nothing, everything is there. 100 % and 0 % are said only where they are exact."""
    if not whole or part == whole:
        return "100 %"
    return f"{min(99.9, max(0.1, 100 * part / whole)):.1f} %" if part else "0 %"


def _bounded(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    more = len(every) - _MOST_LINES
    return [*every[:_MOST_LINES], f"  and {more} more; --json has all"] if more > 1 else every
