"""Reads a telemetry document into an entry: what a page of many builds says of one, bounded and possible. Pure.

Only what such a page needs is decoded, so that thousands of documents take a second. What is no document of version 1 is
refused with a reason: it becomes a line on the page, and nothing else.
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from buildjob.report.explain import Tone, headline_of
from buildjob.report.foreign_text import strip_ansi
from buildjob.report.limits import limit_bytes
from buildjob.telemetry import SPACK_END, SPACK_START, VERSION

LARGEST_BYTES = 16 << 20
_NAME, _LINE, _URL = 120, 300, 300
_MOST_SECONDS = 1e9
_MOST_BYTES = 1 << 60
_MOST_DEPENDENCIES = 2_000
_FROM_THE_DRIVER = frozenset({"script_succeeded", "script_failed"})


class Refused(Exception):  # noqa: N818  a document's fate, no error of ours
    """The document is not shown; the message says why."""


class Link(msgspec.Struct, frozen=True):
    """Another place on the web that knows more; the page links http and https only."""

    label: str
    url: str


class Failed(msgspec.Struct, frozen=True):
    """The dependency without which a package was not built."""

    name: str
    version: str
    hash: str


class JobTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The CI job of an entry, with its times since the epoch; None where a document does not say."""

    id: str
    name: str
    url: str
    pipeline: str
    pipeline_url: str
    project: str
    ref: str
    pipeline_created: float | None
    started: float | None
    """When the Runner took it."""
    agent_began: float | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One build."""

    name: str
    version: str
    hash: str
    compiler: str
    architecture: str
    build_jobs: int
    cpus: int
    outcome: str
    tone: Tone
    headline: str
    """The outcome in two or three words."""
    started: float
    """Since the epoch."""
    ended: float
    """Of the build, since the epoch; publishing follows."""
    wall_seconds: float
    """0 if nothing was run."""
    cpu_seconds: float
    own_seconds: float
    """In the package's own phases: without Spack's start and end."""
    publish_seconds: float
    memory_bytes: int | None
    """Peak of the working set."""
    memory_is_estimate: bool
    asked_bytes: int | None
    """The request, or else the limit."""
    error: str
    """The first error, or else why nothing was built."""
    error_line: int | None
    failed: tuple[Failed, ...]
    job: JobTimes | None
    links: tuple[Link, ...]
    publish_state: str
    dependencies: tuple[str, ...]
    """Hashes of the direct dependencies."""
    place: str = ""
    """The run folder below the folder that was read, with `/`; empty if there is none."""
    has_page: bool = False
    has_log_page: bool = False

    @property
    def is_driver_s(self) -> bool:
        """Whether the driver wrote it: about a job's script, not about a package."""
        return self.outcome in _FROM_THE_DRIVER


class _Dependency(msgspec.Struct, frozen=True):
    hash: str = ""


class _Spec(msgspec.Struct, frozen=True):
    name: str
    version: str
    hash: str = ""
    architecture: str = ""
    compiler: str = ""
    dependencies: list[_Dependency] = []
    build_jobs: int = 0


class _Job(msgspec.Struct, frozen=True):
    id: str = ""
    name: str = ""
    url: str = ""
    project: str = ""
    ref: str = ""
    pipeline_id: str = ""
    commit_url: str = ""
    pipeline_url: str = ""
    pipeline_created_at: str = ""
    started_at: str = ""
    agent_started_at: str = ""


class _Asked(msgspec.Struct, frozen=True):
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None


class _Machine(msgspec.Struct, frozen=True):
    cpus: int = 0


class _Totals(msgspec.Struct, frozen=True):
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_working_set_peak_bytes: int | None = None
    memory_is_estimate: bool = False


class _Phase(msgspec.Struct, frozen=True):
    name: str
    wall_seconds: float = 0.0


class _Error(msgspec.Struct, frozen=True):
    line: int
    text: str


class _Fault(msgspec.Struct, frozen=True):
    url: str = ""
    reason: str = ""


class _Failed(msgspec.Struct, frozen=True):
    name: str
    version: str = ""
    hash: str = ""


class _Publish(msgspec.Struct, frozen=True):
    state: str = ""
    url: str = ""
    wall_seconds: float = 0.0


class _Document(msgspec.Struct, frozen=True):
    complete: bool
    started_at: str
    ended_at: str
    outcome: str
    spec: _Spec
    version: int = VERSION
    job: _Job | None = None
    asked: _Asked | None = None
    machine: _Machine = _Machine()
    totals: _Totals = _Totals()
    phases: list[_Phase] = []
    memory_kills: list[Any] = []
    first_error: _Error | None = None
    fetch_faults: list[_Fault] = []
    failed_dependencies: list[_Failed] = []
    publish: _Publish | None = None


class _Version(msgspec.Struct, frozen=True):
    version: Any = None


_DECODER = msgspec.json.Decoder(_Document)
_VERSION_DECODER = msgspec.json.Decoder(_Version)


def read_entry(content: bytes, *, place: str = "", links: Sequence[Link] = ()) -> Entry:
    """Return the entry of a document. `links` are those that the document does not know. Raises Refused."""
    if len(content) > LARGEST_BYTES:
        raise Refused(f"larger than {LARGEST_BYTES >> 20} MiB, the most that telemetry may be")
    try:
        document = _DECODER.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(_why(content, error)) from error
    if document.version != VERSION:
        raise Refused(_why(content, msgspec.ValidationError("another version")))
    started, ended = _time(document.started_at), _time(document.ended_at)
    if started is None or ended is None:
        raise Refused("not a telemetry document: started_at or ended_at is no time of RFC 3339")
    spec, totals, publish = document.spec, document.totals, document.publish or _Publish()
    asked = document.asked or _Asked()
    tone, headline = headline_of(document.outcome, complete=document.complete, has_kills=bool(document.memory_kills))
    wall_seconds = _seconds(totals.wall_seconds)
    return Entry(
        name=spec.name[:_NAME],
        version=spec.version[:_NAME],
        hash=spec.hash[:_NAME],
        compiler=spec.compiler[:_NAME],
        architecture=spec.architecture[:_NAME],
        build_jobs=_count(spec.build_jobs),
        cpus=_count(document.machine.cpus),
        outcome=document.outcome[:_NAME],
        tone=tone,
        headline=headline[:_NAME],
        started=started,
        ended=max(started, ended),
        wall_seconds=wall_seconds,
        cpu_seconds=_seconds(totals.cpu_seconds),
        own_seconds=_own_seconds(document.phases, wall_seconds),
        publish_seconds=_seconds(publish.wall_seconds),
        memory_bytes=_count(totals.memory_working_set_peak_bytes or 0) or None,
        memory_is_estimate=totals.memory_is_estimate,
        asked_bytes=limit_bytes(asked.memory_bytes) or limit_bytes(asked.memory_limit_bytes),
        error=_error(document),
        error_line=document.first_error.line if document.first_error and 0 < document.first_error.line < 1 << 40 else None,
        failed=tuple(
            Failed(each.name[:_NAME], each.version[:_NAME], each.hash[:_NAME]) for each in document.failed_dependencies[:4]
        ),
        job=_job(document.job),
        links=(*_links(document), *links),
        publish_state=publish.state[:_NAME],
        dependencies=tuple(each.hash[:_NAME] for each in spec.dependencies[:_MOST_DEPENDENCIES] if each.hash),
        place=place,
    )


def _why(content: bytes, error: Exception) -> str:
    """Return why bytes are no document of ours: of a later version, cut off, or something else."""
    if not content.strip():
        return "empty: it was not written to its end"
    try:
        version = _VERSION_DECODER.decode(content).version
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return f"not a telemetry document: {str(error)[:_LINE]}"
    if isinstance(version, int) and version != VERSION:
        newer = "newer" if version > VERSION else "older"
        return f"version {str(version)[:20]} of telemetry, {newer} than what this spack-farm reads: version {VERSION}"
    return f"not a telemetry document: {str(error)[:_LINE]}"


def _own_seconds(phases: Sequence[_Phase], wall_seconds: float) -> float:
    own = sum(_seconds(phase.wall_seconds) for phase in phases if phase.name not in {SPACK_START, SPACK_END})
    return min(own, wall_seconds) if phases else wall_seconds


def _error(document: _Document) -> str:
    if document.first_error:
        return " ".join(strip_ansi(document.first_error.text[: 4 * _LINE]).split())[:_LINE]
    if document.fetch_faults:
        fault = document.fetch_faults[0]
        return f"{fault.url[:_LINE]}: {fault.reason[:_LINE]}"[:_LINE]
    return ""


def _job(job: _Job | None) -> JobTimes | None:
    if job is None:
        return None
    return JobTimes(
        id=job.id[:_NAME],
        name=job.name[:_LINE],
        url=_web(job.url),
        pipeline=job.pipeline_id[:_NAME],
        pipeline_url=_web(job.pipeline_url),
        project=job.project[:_LINE],
        ref=job.ref[:_LINE],
        pipeline_created=_time(job.pipeline_created_at),
        started=_time(job.started_at),
        agent_began=_time(job.agent_started_at),
    )


def _links(document: _Document) -> list[Link]:
    """Return the links of a document."""
    job, publish = document.job or _Job(), document.publish or _Publish()
    known = (("job", job.url), ("commit", job.commit_url), ("binary", publish.url))
    return [Link(label, web) for label, url in known if (web := _web(url))]


def _web(url: str) -> str:
    """Return an address of the web as it is; nothing for another one, a very long one, or one with a user or a password."""
    is_plain = url.startswith(("http://", "https://")) and url.isprintable() and " " not in url and len(url) <= _URL
    return url if is_plain and "@" not in url.partition("//")[2].partition("/")[0] else ""


def _time(text: str) -> float | None:
    """Return a time of RFC 3339 since the epoch; None for any other text."""
    try:
        time = dt.datetime.fromisoformat(text[:_NAME])
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _seconds(value: float) -> float:
    return float(min(max(value, 0.0), _MOST_SECONDS)) if math.isfinite(value) else 0.0


def _count(value: int) -> int:
    return min(max(value, 0), _MOST_BYTES)
