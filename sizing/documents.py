"""Reads a telemetry document into a build, or says why not. Pure: bytes and a time in, a value out.

The document's schema is docs/reference/telemetry.schema.json, version 1; only what sizes need is decoded. What a document
says of itself never makes it trusted: that is its place's word. It can only lose trust, if it names an unprotected branch.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from sizing.builds import Build
from sizing.keys import expensive_variants
from sizing.quantities import MOST_BYTES

VERSION = 1
LARGEST_BYTES = 16 << 20
_MOST_SECONDS = 60 * 86_400.0
_MOST_CORES = 10_000
_CPU_SLACK = 1.1
"""Wall time and CPU seconds are read one after the other."""
_AHEAD_SECONDS = 86_400.0
"""Clocks differ; a build that begins later than tomorrow was not measured."""
_OLDEST = dt.datetime(2015, 1, 1, tzinfo=dt.UTC).timestamp()
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_TEXT = re.compile(r"[!-~]{0,255}")
"""What may enter a key: printable, no blanks."""
_FROM_THE_DRIVER = frozenset({"script_succeeded", "script_failed"})


class Refused(Exception):  # noqa: N818  a document's fate, no error of ours
    """The document counts for nothing; the message says why."""

    is_final = True
    """Whether no later reading can end otherwise."""


class RefusedForNow(Refused):
    """As `Refused`, but a later clock or a newer reader may take the same document."""

    is_final = False


class _Spec(msgspec.Struct, frozen=True):
    name: str
    version: str
    hash: str = ""
    architecture: str = ""
    compiler: str = ""
    variants: dict[str, str | bool | list[str]] = {}
    build_jobs: int = 0


class _Job(msgspec.Struct, frozen=True):
    id: str = ""
    project: str = ""
    stack: str = ""
    attempt: int = 0
    ref_protected: bool = False


class _Asked(msgspec.Struct, frozen=True):
    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None


class _Machine(msgspec.Struct, frozen=True):
    cpus: int = 0
    memory_bytes: int = 0
    memory_limit_bytes: int | None = None


class _Totals(msgspec.Struct, frozen=True):
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_working_set_peak_bytes: int | None = None
    memory_anonymous_peak_bytes: int | None = None
    disk_peak_bytes: int | None = None


class _Kill(msgspec.Struct, frozen=True):
    limit_bytes: int | None = None


class _Document(msgspec.Struct, frozen=True):
    complete: bool
    started_at: str
    ended_at: str
    outcome: str
    spec: _Spec
    totals: _Totals
    machine: _Machine
    version: int = VERSION
    job: _Job | None = None
    asked: _Asked = _Asked()
    memory_kills: list[_Kill] = []


class _Version(msgspec.Struct, frozen=True):
    version: Any = VERSION


_DECODER = msgspec.json.Decoder(_Document)


def read_build(content: bytes, *, trusted: bool, now: float) -> Build:
    """Return the build that a document describes. Raises Refused."""
    try:
        document = _DECODER.decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        _refuse_other_version(content)
        raise Refused(f"not a telemetry document: {error}") from error
    if document.version != VERSION:
        _refuse_other_version(content)
    started, ended = _time(document.started_at, "started_at"), _time(document.ended_at, "ended_at")
    spec, totals, job = document.spec, document.totals, document.job or _Job()
    _check(document, started, ended, now)
    # a limit above the machine's memory kills nothing: the machine itself was full, which says nothing of the build
    kills = [kill.limit_bytes for kill in document.memory_kills if kill.limit_bytes]
    killed_at = min((limit for limit in kills if limit <= (document.machine.memory_bytes or limit)), default=None)
    # both are read one after the other: a build of a few milliseconds may seem to use more cores than there are
    most_cpu = totals.wall_seconds * (document.machine.cpus or _MOST_CORES)
    build_system = spec.variants.get("build_system", "")
    return Build(
        digest=hashlib.sha256(content).hexdigest(),
        trusted=trusted and (document.job is None or job.ref_protected),
        started=started,
        ended=ended,
        outcome=printable(document.outcome)[:64],
        name=spec.name,
        version=spec.version,
        dag_hash=spec.hash,
        compiler=spec.compiler,
        architecture=spec.architecture,
        expensive=expensive_variants(spec.variants),
        build_system=build_system if isinstance(build_system, str) and _TEXT.fullmatch(build_system) else "",
        jobs=spec.build_jobs,
        project=printable(job.project)[:255],
        job_id=printable(job.id)[:64],
        stack=printable(job.stack)[:255],
        attempt=min(max(job.attempt, 0), 1_000),
        asked_cpu_millicores=document.asked.cpu_millicores,
        asked_memory_bytes=document.asked.memory_bytes,
        limit_bytes=document.asked.memory_limit_bytes or document.machine.memory_limit_bytes,
        killed_at_bytes=killed_at,
        working_set_peak_bytes=totals.memory_working_set_peak_bytes,
        anonymous_peak_bytes=totals.memory_anonymous_peak_bytes,
        disk_peak_bytes=totals.disk_peak_bytes,
        cpu_seconds=min(totals.cpu_seconds, most_cpu) or None,
        wall_seconds=totals.wall_seconds or None,
    )


def printable(text: str) -> str:
    """Return a text from outside without what would change a terminal, and what PostgreSQL or UTF-8 cannot hold."""
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)


def _refuse_other_version(content: bytes) -> None:
    """Say so where a document is of a version that this reader does not know: it may have any shape."""
    try:
        version = msgspec.json.decode(content, type=_Version).version
    except (msgspec.MsgspecError, RecursionError):
        return
    if version != VERSION:
        raise RefusedForNow(f"version {str(version)[:20]} of telemetry: this reader knows version {VERSION}")


def _time(text: str, key: str) -> float:
    try:
        parsed = dt.datetime.fromisoformat(text[:40])
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise Refused(f"not a telemetry document: {key} is no time") from error


def _check(document: _Document, started: float, ended: float, now: float) -> None:
    """Raise Refused for what was not measured at the end of a build, or cannot have been."""
    spec, totals = document.spec, document.totals
    if not document.complete:
        raise Refused("incomplete: its build still ran, or was killed with its agent")
    if document.outcome in _FROM_THE_DRIVER and not spec.hash:
        raise Refused("of a job that builds no package of Spack")
    texts = (spec.version, spec.hash, spec.compiler, spec.architecture)
    if not _NAME.fullmatch(spec.name) or not all(_TEXT.fullmatch(text) for text in texts):
        raise Refused("absurd: the spec has a name, version, hash, compiler or architecture that Spack does not write")
    if started < _OLDEST or ended < started - 1:
        raise Refused("absurd: its times are before 2015, or in the wrong order")
    if max(started, ended) > now + _AHEAD_SECONDS:
        raise RefusedForNow("absurd: its times are in the future")
    for key, value in _amounts(document):
        if value is not None and not 0 <= value <= MOST_BYTES:
            raise Refused(f"absurd: {key} is {value}")
    most = document.machine.memory_bytes or MOST_BYTES
    if max(totals.memory_working_set_peak_bytes or 0, totals.memory_anonymous_peak_bytes or 0) > most:
        raise Refused("absurd: more memory was used than the machine has")
    wall, cpu = totals.wall_seconds, totals.cpu_seconds
    cores = document.machine.cpus or _MOST_CORES
    if not (
        0 <= wall <= _MOST_SECONDS and 0 <= cpu <= (wall + 1) * cores * _CPU_SLACK and 0 <= spec.build_jobs <= _MOST_CORES
    ):
        raise Refused(f"absurd: {cpu} CPU seconds in {wall} s with {spec.build_jobs} jobs")


def _amounts(document: _Document) -> Iterator[tuple[str, int | None]]:
    """Yield all amounts with their keys."""
    totals, asked, machine = document.totals, document.asked, document.machine
    yield "memory_working_set_peak_bytes", totals.memory_working_set_peak_bytes
    yield "memory_anonymous_peak_bytes", totals.memory_anonymous_peak_bytes
    yield "disk_peak_bytes", totals.disk_peak_bytes
    yield "asked.memory_bytes", asked.memory_bytes
    yield "asked.memory_limit_bytes", asked.memory_limit_bytes
    yield "asked.cpu_millicores", asked.cpu_millicores
    yield "machine.memory_bytes", machine.memory_bytes
    yield "machine.memory_limit_bytes", machine.memory_limit_bytes
    yield from (("memory_kills.limit_bytes", kill.limit_bytes) for kill in document.memory_kills)
