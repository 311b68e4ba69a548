"""Reads the last build of each spec: from a folder of measurements, or from the history of `spack-farm sizing`.

That history is read by `spack-farm sizing builds`, a process of its own, or was: its document may be a file. Knows the
command line and the document of it, docs/reference/last-builds.schema.json, and no database.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pipelines.errors import BadRequest, PipelineError
from pipelines.reports.coverage import Build

_LARGEST_BYTES = 64 << 20
_LARGEST_HISTORY = 512 << 20
_STALE_SECONDS = 600.0
"""A build rewrites its document every 10 s; one that has not for so long has ended without a word."""
_SQLITE = b"SQLite format 3\0"
_PROGRAM = Path(__file__).resolve().parents[1] / "spack_farm/__main__.py"
"""The dispatcher as a file: the process finds our packages beside this one."""
_BAD_REQUEST = 2


class _Spec(msgspec.Struct, frozen=True):
    hash: str = ""


class _Job(msgspec.Struct, frozen=True):
    id: str | None = ""
    project: str | None = ""
    url: str | None = ""


class _Publish(msgspec.Struct, frozen=True):
    state: str = ""


class _Telemetry(msgspec.Struct, frozen=True):
    version: int
    spec: _Spec
    complete: bool = False
    outcome: str | None = ""
    started_at: str = ""
    ended_at: str | None = ""
    job: _Job | None = None
    publish: _Publish | None = None


class _Last(msgspec.Struct, frozen=True):
    outcome: str
    ended_at: str


class _LastBuilds(msgspec.Struct, frozen=True):
    version: int
    builds: dict[str, _Last]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The last build of each spec by its hash, and a note on where it comes from."""

    builds: dict[str, Build]
    note: str


def read(place: str, now: float) -> History:
    """Read a folder, a history of sizing, or the document that it prints. Raises BadRequest, PipelineError."""
    if "://" in place:
        return _of_sizing(place)
    path = Path(place)
    if path.is_dir():
        return _of_folder(path, now)
    try:
        with path.open("rb") as file:
            content = file.read(len(_SQLITE))
            if content == _SQLITE:
                return _of_sizing(place)
            content += file.read(_LARGEST_HISTORY)
    except OSError as error:
        raise BadRequest(
            f"--history {place}: {error.strerror}; give a folder with the telemetry.json of builds, the history of"
            " 'spack-farm sizing', or what 'spack-farm sizing builds' prints"
        ) from error
    return _of_document(place, content)


def _of_sizing(place: str) -> History:
    """Let sizing read its history. Raises BadRequest with its words, PipelineError."""
    argv = [sys.executable, str(_PROGRAM), "sizing", "builds", "--history", place]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        kind = BadRequest if done.returncode == _BAD_REQUEST else PipelineError
        raise kind(f"the history can't be read: {lines[-1]}")
    return _of_document(place, done.stdout)


def _of_document(place: str, content: bytes) -> History:
    try:
        found = msgspec.json.decode(content, type=_LastBuilds)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"--history {place}: neither a history of 'spack-farm sizing' nor what its verb 'builds' prints ({error})"
        ) from error
    if found.version != 1:
        raise BadRequest(f"--history {place}: version {found.version} is of another spack-farm; this one reads version 1")
    builds = {key: Build(outcome=each.outcome, ended_at=_normal(each.ended_at)) for key, each in found.builds.items()}
    return History(builds=builds, note=f"builds: the last ones of {len(builds)} specs, from the history of sizing")


def _of_folder(folder: Path, now: float) -> History:
    """Read all documents below a folder."""
    read: list[tuple[_Telemetry, Build]] = []
    unreadable = 0
    for path in _documents(folder):
        try:
            if path.stat().st_size > _LARGEST_BYTES:
                raise ValueError(path)  # noqa: TRY301  counted below as any other
            found = msgspec.json.decode(path.read_bytes(), type=_Telemetry)
            is_alive = found.complete or now - path.stat().st_mtime < _STALE_SECONDS
        except (OSError, ValueError, msgspec.MsgspecError):
            unreadable += 1
            continue
        read.append((found, _build(found, is_alive=is_alive)))
    # the agent and the driver both describe a build: the driver's word counts only where the agent's is missing
    by_the_agent = {_job(found) for found, build in read if not _is_the_driver_s(build)} - {None}
    builds: dict[str, Build] = {}
    for found, build in sorted(read, key=lambda each: each[1].ended_at):
        if found.spec.hash and not (_is_the_driver_s(build) and _job(found) in by_the_agent):
            builds[found.spec.hash] = build
    return History(builds=builds, note=f"builds: {len(read)} measurements read, {unreadable} files that are none")


def _job(found: _Telemetry) -> tuple[str, str] | None:
    return (found.job.project or "", found.job.id) if found.job and found.job.id else None


def _is_the_driver_s(build: Build) -> bool:
    return build.outcome.startswith("script_")


def _documents(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.json")) if path.is_file())


def _build(found: _Telemetry, *, is_alive: bool) -> Build:
    outcome = found.outcome or ""
    if not found.complete and not is_alive:
        outcome = "interrupted"
    return Build(
        outcome=outcome,
        is_complete=found.complete or not is_alive,
        is_redistributable=not (found.publish and found.publish.state == "not_redistributable"),
        ended_at=_normal(found.ended_at or found.started_at),
        url=(found.job.url if found.job else "") or "",
    )


def _normal(moment: str) -> str:
    """Return a moment so that texts compare as times do."""
    try:
        return dt.datetime.fromisoformat(moment).astimezone(dt.UTC).isoformat()
    except ValueError:
        return ""
