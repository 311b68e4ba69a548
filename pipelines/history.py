"""Reads the last build of each spec from a folder of measurements (telemetry.json), as jobs leave them. Knows no sizing."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pipelines.errors import BadRequest
from pipelines.reports.coverage import Build

_LARGEST_BYTES = 64 << 20
_STALE_SECONDS = 600.0
"""A build rewrites its document every 10 s; one that has not for so long has ended without a word."""


class _Spec(msgspec.Struct, frozen=True):
    hash: str = ""


class _Job(msgspec.Struct, frozen=True):
    url: str = ""


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


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The last build of each spec by its hash, and how many documents could not be read."""

    builds: dict[str, Build]
    documents: int
    unreadable: int


def read(folder: Path, now: float) -> History:
    """Read all documents below a folder. Raises BadRequest if there is no such folder."""
    if not folder.is_dir():
        raise BadRequest(f"--history {folder}: there is no such folder; give one with the telemetry.json of builds")
    builds: dict[str, Build] = {}
    documents = unreadable = 0
    for path in _documents(folder):
        try:
            if path.stat().st_size > _LARGEST_BYTES:
                raise ValueError(path)  # noqa: TRY301  counted below as any other
            found = msgspec.json.decode(path.read_bytes(), type=_Telemetry)
            is_alive = found.complete or now - path.stat().st_mtime < _STALE_SECONDS
        except (OSError, ValueError, msgspec.MsgspecError):
            unreadable += 1
            continue
        documents += 1
        build = _build(found, is_alive=is_alive)
        known = builds.get(found.spec.hash)
        if found.spec.hash and (known is None or known.ended_at <= build.ended_at):
            builds[found.spec.hash] = build
    return History(builds=builds, documents=documents, unreadable=unreadable)


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
        url=found.job.url if found.job else "",
    )


def _normal(moment: str) -> str:
    """Return a moment so that texts compare as times do."""
    try:
        return dt.datetime.fromisoformat(moment).astimezone(dt.UTC).isoformat()
    except ValueError:
        return ""
