"""The size table as a value and as bytes: `sizes.json`, versions 1 and 2. Pure.

The schema is docs/reference/sizes.schema.json. The same rows give the same bytes: keys are sorted, each row is a line.
"""

import datetime as dt
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

LARGEST = 64 << 20
"""A table may be so large when it is unpacked: no reader takes more."""
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_Amount = Annotated[int, msgspec.Meta(ge=1)]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What builds of one key ask for. None means: the table does not say."""

    cpu_millicores: _Amount | None = None
    memory_bytes: _Amount | None = None
    memory_limit_bytes: _Amount | None = None
    disk_bytes: _Amount | None = None
    build_jobs: _Amount | None = None
    expected_seconds: float | None = None
    p90_seconds: float | None = None
    ladder_memory_bytes: tuple[_Amount, ...] = ()
    samples: int = 0
    source: str = ""

    def asks_like(self, other: "Row") -> bool:
        """Return whether a pod of either row would be the same."""
        return all(getattr(self, field) == getattr(other, field) for field in _ASKED)


_ASKED = ("cpu_millicores", "memory_bytes", "memory_limit_bytes", "disk_bytes", "build_jobs", "ladder_memory_bytes")
_ONLY_IN_2 = ("build_jobs", "p90_seconds", "ladder_memory_bytes")


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    sizes: dict[str, Row] = {}


def encode(rows: Mapping[str, Row], *, policy: str, now: float, version: int = 2) -> bytes:
    """Return the table's bytes. Version 1 is for drivers that read nothing newer: fewer keys, no ladder."""
    made_at = dt.datetime.fromtimestamp(now, tz=dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    head: dict[str, Any] = {"version": version}
    if version == 1:
        rows = {key: row for key, row in rows.items() if _is_in_1(key)}
    else:
        head |= {"policy": policy, "made_at": made_at}
    lines = []
    for key in sorted(rows):
        row: dict[str, Any] = msgspec.to_builtins(rows[key])
        kept = {name: value for name, value in row.items() if version == 2 or name not in _ONLY_IN_2}
        lines.append(f"{_json(key)}:{_json(kept)}")
    body = ",\n".join(lines)
    return f'{_json(head)[:-1]},"sizes":{{\n{body}\n}}}}\n'.encode()


def pack(content: bytes) -> bytes:
    """Return a table compressed by gzip; the same content gives the same bytes."""
    return gzip.compress(content, 9, mtime=0)


def decode(content: bytes) -> dict[str, Row]:
    """Return the rows of a table, compressed or not. Raises ValueError."""
    try:
        if content.startswith(_GZIP):
            content = zlib.decompressobj(_GZIP_WINDOW).decompress(content, LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 20} MiB")
        table = msgspec.json.decode(content, type=_Table)
    except (zlib.error, msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if table.version not in {1, 2}:
        raise ValueError(f"version {table.version} is not known")
    return table.sizes


def _is_in_1(key: str) -> bool:
    """Return whether version 1 has such keys: `/HASH`, `NAME@VERSION%COMPILER`, `NAME@VERSION`, `NAME`."""
    return key.startswith("/") or not any(mark in key for mark in ("+", " ", "=", "*"))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
