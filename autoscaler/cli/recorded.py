"""What verbs that change nothing read: the settings, and recorded Snapshots from files, folders or standard input."""

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from autoscaler.errors import BadRequest, SettingsError
from autoscaler.policy import Policy
from autoscaler.service.settings import read_service
from autoscaler.settings import read_settings
from autoscaler.snapshot import VERSION, Snapshot, from_json

MOST_BYTES = 1 << 29


class _Versioned(msgspec.Struct, frozen=True, gc=False):
    version: int = VERSION


def read_policy(path: Path) -> Policy:
    """Return the policy of a file whose table `[service]` is right, too: a fault there must not be found by the service.

    Raises SettingsError.
    """
    settings = read_settings(path)
    try:
        read_service(settings.service)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    return settings.policy


def read_snapshot(place: str) -> Snapshot:
    """Return one Snapshot; `-` is standard input. Raises BadRequest."""
    try:
        if place == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            path = Path(place)
            if path.is_dir():
                raise BadRequest(f"{place} is a folder; name one of its Snapshots")
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadRequest(f"the Snapshot {place} can't be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise BadRequest(f"the Snapshot {place} is larger than {MOST_BYTES >> 20} MiB")
    try:
        snapshot = from_json(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _check_version(place, content)
        raise BadRequest(f"{place} is not a Snapshot: {error}") from error
    _check_version(place, content)
    return snapshot


def _check_version(place: str, content: bytes) -> None:
    """Raise BadRequest for a Snapshot of another version, whatever else it looks like."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            raise BadRequest(f"{place} is a Snapshot of version {version}; this program reads version {VERSION}")


def read_snapshots(places: Iterable[str]) -> list[tuple[str, Snapshot]]:
    """Return Snapshots with their names, the oldest first; of a folder all `*.json`. Raises BadRequest."""
    found = []
    for place in places:
        path = Path(place)
        names = sorted(str(one) for one in path.glob("*.json")) if path.is_dir() else [place]
        if not names:
            raise BadRequest(f"the folder {place} has no *.json")
        found += [(name, read_snapshot(name)) for name in names]
    return sorted(found, key=lambda one: (one[1].taken_at, one[0]))
