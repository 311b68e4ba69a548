"""Where a pipeline's time went: each job's wait, start, dependencies, own build and publishing, and the critical path. Pure.

Everything comes from telemetry: what the agents measured, the times that GitLab gives each job, and the driver's documents
where they are. Who needs whom is known from the dependencies of the concrete specs, and from the job graph, if it is given.

A job's time begins when the Runner took it and ends with its last build or push. What lies before it, since the last of the
jobs that it needs had ended, is its wait. Its start is the node, the pull and the sources, until the agent began. What the
agent did beside building and publishing counts as dependencies: planning, fetching, Spack's start.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from buildjob.report.explain import Tone
from buildjob.report.many.entries import Entry, JobTimes

MOST_PIPELINES = 5


class JobTime(msgspec.Struct, frozen=True, kw_only=True):
    """A job and what its time went to, in seconds; None where it is not known."""

    name: str
    """Of its last package, with version."""
    url: str
    tone: Tone
    ended: float
    """Since the epoch."""
    wait: float | None
    start: float | None
    dependencies: float | None
    build: float
    publish: float
    keys: frozenset[str]
    """Hashes of its packages."""
    needs: frozenset[str]
    """Hashes of what they need and other jobs have built."""

    @property
    def seconds(self) -> float:
        """Its time without the wait, as far as it is known."""
        return (self.start or 0.0) + (self.dependencies or 0.0) + self.build + self.publish


class PipelineTime(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one pipeline went."""

    id: str
    url: str
    project: str
    ref: str
    jobs: tuple[JobTime, ...]
    """In order of their ends."""
    path: tuple[JobTime, ...]
    """The critical path: from the last job to end, always back to the need that ended last; the first job first."""
    seconds: float | None
    """From the pipeline's creation, or else from the first job, to the end of the last job."""
    not_seen: int = 0
    """Jobs of the job graph of which no telemetry was found."""

    @property
    def ended(self) -> float:
        """When the last job ended, since the epoch."""
        return self.jobs[-1].ended

    def share_of_build(self) -> float | None:
        """Return which share of the jobs' time was the packages' own build; None if no time is known."""
        total = sum(job.seconds for job in self.jobs)
        return sum(job.build for job in self.jobs) / total if total > 0 else None

    def sums(self, jobs: Sequence[JobTime]) -> tuple[float, float, float, float, float]:
        """Return the sums of wait, start, dependencies, build and publish over some of the jobs."""
        return (
            sum(job.wait or 0.0 for job in jobs),
            sum(job.start or 0.0 for job in jobs),
            sum(job.dependencies or 0.0 for job in jobs),
            sum(job.build for job in jobs),
            sum(job.publish for job in jobs),
        )


class Needs(msgspec.Struct, frozen=True):
    """The jobs of a job graph: key to the keys that it needs."""

    by_key: Mapping[str, tuple[str, ...]] = {}


class _GraphJob(msgspec.Struct, frozen=True):
    key: str
    needs: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    state: str = "build"


class _Graph(msgspec.Struct, frozen=True):
    version: int
    jobs: tuple[_GraphJob, ...]


def read_graph(content: bytes) -> Needs:
    """Return the needs in a job graph of version 1. Raises ValueError for any other text.

    Source: docs/reference/job-graph.schema.json.
    """
    try:
        graph = msgspec.json.decode(content, type=_Graph)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not a job graph: {error}") from error
    if graph.version != 1:
        raise ValueError(f"a job graph of version {graph.version}; this spack-farm reads version 1")
    return Needs({job.key: (*job.needs, *job.dependencies) for job in graph.jobs if job.state == "build"})


def pipelines(entries: Iterable[Entry], graph: Needs | None = None, *, only: str = "") -> list[PipelineTime]:
    """Return where the time of each pipeline went, the one that ended last first; `only` names one by its id."""
    by_pipeline: dict[tuple[str, str], list[Entry]] = collections.defaultdict(list)
    for entry in entries:
        if entry.job and entry.job.pipeline and only in {"", entry.job.pipeline}:
            by_pipeline[entry.job.project, entry.job.pipeline].append(entry)
    found = [_pipeline(group, graph or Needs()) for group in by_pipeline.values()]
    return sorted(found, key=lambda each: (-each.ended, each.id))


def _pipeline(entries: Sequence[Entry], graph: Needs) -> PipelineTime:
    jobs_of: dict[str, list[Entry]] = collections.defaultdict(list)
    for entry in entries:
        assert entry.job
        jobs_of[entry.job.id].append(entry)
    rough = sorted((_job(group, graph) for group in jobs_of.values()), key=lambda each: each[0].ended)
    created = min((each.job.pipeline_created for each in entries if each.job and each.job.pipeline_created), default=None)
    jobs = _with_waits(rough, created)
    built = frozenset(key for job in jobs for key in job.keys)
    facts = next((each.job for each in entries if each.job and each.job.pipeline_url), entries[0].job)
    assert facts
    begun = created if created is not None else min((began for _, began in rough if began is not None), default=None)
    return PipelineTime(
        id=facts.pipeline,
        url=facts.pipeline_url,
        project=facts.project,
        ref=facts.ref,
        jobs=tuple(jobs),
        path=tuple(_path(jobs)),
        seconds=None if begun is None else max(jobs[-1].ended - begun, 0.0),
        # a graph of another pipeline has none of these jobs
        not_seen=len(graph.by_key.keys() - built) if graph.by_key.keys() & built else 0,
    )


def _job(entries: Sequence[Entry], graph: Needs) -> tuple[JobTime, float | None]:
    """Return a job without its wait, and when the Runner took it."""
    packages = [entry for entry in entries if not entry.is_driver_s] or list(entries)
    scripts = [entry for entry in entries if entry.is_driver_s]
    facts = _facts(entries)
    last = max(packages, key=lambda entry: (entry.ended, not entry.dependencies))
    ended = max([*(entry.ended + entry.publish_seconds for entry in packages), *(entry.ended for entry in scripts)])
    began = facts.agent_began
    if began is None:  # an agent that did not say; the driver's script begins a moment before it
        began = min((entry.started for entry in scripts or packages), default=None)
    build = sum(entry.own_seconds for entry in packages)
    publish = sum(entry.publish_seconds for entry in packages)
    keys = frozenset(entry.hash for entry in packages if entry.hash)
    needs = {need for entry in packages for need in (*entry.dependencies, *graph.by_key.get(entry.hash, ()))}
    job = JobTime(
        name=f"{last.name}@{last.version}" if last.version else last.name,
        url=facts.url,
        tone=last.tone,
        ended=ended,
        wait=None,
        start=None if facts.started is None or began is None else max(began - facts.started, 0.0),
        dependencies=None if began is None else max(ended - began - build - publish, 0.0),
        build=build,
        publish=publish,
        keys=keys,
        needs=frozenset(needs) - keys,
    )
    return job, facts.started


def _facts(entries: Sequence[Entry]) -> JobTimes:
    """Return the facts of a job, from whichever of its documents knows most."""
    known = [entry.job for entry in entries if entry.job]
    return max(known, key=lambda job: (job.agent_began is not None, job.started or 0))


def _with_waits(rough: Sequence[tuple[JobTime, float | None]], created: float | None) -> list[JobTime]:
    """Return the jobs with their waits: since the last need had ended, or since the pipeline was created."""
    makers = _makers([job for job, _ in rough])
    jobs = []
    for job, started in rough:
        ready = max((need.ended for need in _needed(job, makers)), default=created)
        wait = None if ready is None or started is None else max(started - ready, 0.0)
        jobs.append(msgspec.structs.replace(job, wait=wait))
    return jobs


def _makers(jobs: Iterable[JobTime]) -> dict[str, JobTime]:
    """Return which job made each hash: the first one that did not fail; later ones found it there. `jobs` are in order."""
    makers: dict[str, JobTime] = {}
    for job in jobs:
        for key in job.keys:
            if key not in makers or (makers[key].tone is Tone.BAD and job.tone is not Tone.BAD):
                makers[key] = job
    return makers


def _needed(job: JobTime, makers: Mapping[str, JobTime]) -> list[JobTime]:
    """Return the jobs that a job needs; only those that ended before it: odd clocks and documents make no circle."""
    return [makers[need] for need in sorted(job.needs) if need in makers and makers[need].ended < job.ended]


def _path(jobs: Sequence[JobTime]) -> list[JobTime]:
    """Return the jobs that decided when the last one ended."""
    makers = _makers(jobs)
    path = [jobs[-1]]
    while before := _needed(path[-1], makers):
        path.append(max(before, key=lambda job: job.ended))
    return path[::-1]
