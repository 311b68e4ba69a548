"""A workload file: pipelines as job graphs (documents.md, version 1), when they are submitted, and what chance does.

TOML: `[[pipelines]]` with name, graph (a file beside it) and at_seconds; `[conditions]` with the fields of
`workload.Conditions`. A job without an expected time takes `unknown_seconds`.
"""

import datetime as dt
import math
import random
from pathlib import Path
from typing import Any

import msgspec

from autoscaler.errors import BadRequest
from autoscaler.settings import parse_toml, read_text
from autoscaler.simulator.workload import Conditions, JobSpec, Pipeline
from autoscaler.snapshot import Size
from spelling.keys import unknown_keys
from spelling.nearest import did_you_mean

_MOST_BYTES = 1 << 28
_FIRST_YEAR, _LAST_YEAR = 1971, dt.MAXYEAR - 1
DEFAULT_START = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC)
"""A Monday at nine: what holds in working hours holds."""


class _Job(msgspec.Struct, frozen=True):
    key: str
    name: str = ""
    needs: tuple[str, ...] = ()
    size: Size = Size()
    expected_seconds: float | None = None
    state: str = "build"


class _Graph(msgspec.Struct, frozen=True):
    version: int
    jobs: tuple[_Job, ...] = ()


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    graph: str
    name: str = ""
    at_seconds: float = 0.0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pipelines: tuple[_Entry, ...]
    conditions: dict[str, float] = {}
    unknown_seconds: float = 300.0
    start: dt.datetime = DEFAULT_START


class Workload(msgspec.Struct, frozen=True):
    """What a workload file says."""

    pipelines: tuple[Pipeline, ...]
    """Pipelines with the times that are expected of their jobs."""
    conditions: Conditions
    """What chance does."""
    start: dt.datetime
    """When simulated time begins, with a time zone."""

    def drawn(self, seed: int) -> list[Pipeline]:
        """Return the pipelines with a real run time for each job: the expected one times a factor that chance draws."""
        return [_real(one, self.conditions, seed) for one in self.pipelines]


def read_workload(path: Path) -> Workload:
    """Return the workload of a file. Raises BadRequest."""
    try:
        document = parse_toml(read_text(path, "the workload"), source=str(path))
        if unknown := unknown_keys(document, _File):
            raise BadRequest(f"{path}: {'; '.join(unknown)}")
        file = msgspec.convert(document, _File)
        conditions = _conditions(file.conditions)
    except ValueError as error:  # msgspec's are among them
        raise BadRequest(f"{path}: {error}") from error
    if not 0 <= file.unknown_seconds < math.inf:
        raise BadRequest(f"{path}: unknown_seconds is not a number from 0 on")
    if not file.pipelines:
        raise BadRequest(f"{path} has no [[pipelines]]")
    return Workload(
        tuple(_pipeline(path.parent / one.graph, one, file.unknown_seconds) for one in file.pipelines),
        conditions,
        _start(file.start, path),
    )


def parse_start(text: str) -> dt.datetime:
    """Return a time that is written as RFC 3339 has it; without a time zone it is UTC. Raises BadRequest."""
    try:
        return _start(dt.datetime.fromisoformat(text), text)
    except ValueError as error:
        raise BadRequest(f"{text!r} is not a time such as 2026-01-05T09:00:00Z") from error


def _start(at: dt.datetime, source: object) -> dt.datetime:
    known = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    if not _FIRST_YEAR <= known.year <= _LAST_YEAR:
        raise BadRequest(f"{source}: simulated time begins between {_FIRST_YEAR} and {_LAST_YEAR}")
    return known


def _conditions(given: dict[str, float]) -> Conditions:
    known = Conditions.__dataclass_fields__
    if unknown := sorted(given.keys() - known.keys()):
        offer = did_you_mean(unknown[0], known)
        raise ValueError(f"conditions: there is no {unknown[0]}{offer}; there are {', '.join(known)}")
    negative = sorted(name for name, value in given.items() if not 0 <= value < math.inf)
    if negative:
        raise ValueError(f"conditions.{negative[0]} is not a number from 0 on")
    return Conditions(**given)


def _pipeline(path: Path, entry: _Entry, unknown_seconds: float) -> Pipeline:
    try:
        with path.open("rb") as file:
            graph = msgspec.json.decode(file.read(_MOST_BYTES), type=_Graph)
    except OSError as error:
        raise BadRequest(f"the job graph {path} can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise BadRequest(f"{path} is not a job graph: {error}") from error
    if graph.version != 1:
        raise BadRequest(f"{path} is a job graph of version {graph.version}; this program reads version 1")
    jobs = [one for one in graph.jobs if one.state == "build"]
    built = {one.key for one in jobs}
    if not 0 <= entry.at_seconds < math.inf:
        raise BadRequest(f"at_seconds of the pipeline {entry.name or path.stem} is not a number from 0 on")
    if not jobs:
        raise BadRequest(f"{path}: no job is to be built")
    if len(built) < len(jobs):
        raise BadRequest(f"{path}: two jobs have the same key")
    pipeline = Pipeline(
        entry.name or path.stem,
        entry.at_seconds,
        tuple(
            JobSpec(
                one.key, one.name or one.key, tuple(need for need in one.needs if need in built), one.size,
                unknown_seconds if one.expected_seconds is None else one.expected_seconds,
                expected_seconds=one.expected_seconds,
            )
            for one in jobs
        ),
    )  # fmt: skip
    try:
        pipeline.critical_path()
    except ValueError as error:
        raise BadRequest(f"{path}: {error}") from error
    return pipeline


def _real(pipeline: Pipeline, conditions: Conditions, seed: int) -> Pipeline:
    chance = random.Random(f"real {pipeline.name} {seed}")  # noqa: S311  a simulation, not a secret
    jobs: list[JobSpec] = []
    for job in pipeline.jobs:
        given: dict[str, Any] = {name: getattr(job, name) for name in JobSpec.__dataclass_fields__}
        given["seconds"] = job.seconds * math.exp(chance.gauss(0.0, conditions.expected_error))
        jobs.append(JobSpec(**given))
    return Pipeline(pipeline.name, pipeline.at, tuple(jobs))
