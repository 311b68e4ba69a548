"""The size table, `sizes.json`, versions 1 and 2: what earlier builds used, looked up by the package that a job builds.

The schema is docs/reference/sizes.schema.json; the file may be compressed by gzip, as config maps hold it. It is read anew
for each job, so a new file counts from the next one on. Knows no caps and decides no size.
"""

import zlib
from pathlib import Path
from typing import Annotated

import msgspec

from executor.errors import SettingsError
from executor.log import Log
from executor.settings import Settings
from executor.size_keys import size_keys

VERSIONS = (1, 2)
_LARGEST = 64 << 20
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31

_Amount = Annotated[int, msgspec.Meta(ge=1, le=1 << 60)]


class MeasuredSize(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the table: what earlier builds of the same package used."""

    cpu_millicores: _Amount | None = None
    memory_bytes: _Amount | None = None
    memory_limit_bytes: _Amount | None = None
    disk_bytes: _Amount | None = None
    build_jobs: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    """Parallel jobs that the other figures are for."""
    ladder_memory_bytes: list[_Amount] = []
    """Memory limits of the attempts after a memory kill, in rising order."""
    expected_seconds: Annotated[float, msgspec.Meta(ge=0, le=1 << 30)] | None = None
    """How long such a job has taken."""
    source: str = ""


class SizeTable(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file; entries are read only when they are looked up."""

    version: int
    sizes: dict[str, msgspec.Raw] = {}


def read_table(path: Path) -> SizeTable:
    """Return a file's table. Raises SettingsError if it is missing, too large, not a table, or of another version."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if content.startswith(_GZIP):
            content = _unpacked(content)
        if len(content) > _LARGEST:
            raise SettingsError(f"{path} is larger than {_LARGEST >> 20} MiB")
        table = msgspec.json.decode(content, type=SizeTable)
    except (OSError, zlib.error, EOFError, msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if table.version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise SettingsError(f"{path} has version {table.version}, this driver reads {known}")
    return table


def find_measured(table: SizeTable, variables: dict[str, str]) -> MeasuredSize | None:
    """Return the entry of the most exact of the job's keys; None without one. Raises SettingsError for a broken entry."""
    key = next((key for key in size_keys(variables) if key in table.sizes), None)
    if key is None:
        return None
    try:
        return msgspec.json.decode(table.sizes[key], type=MeasuredSize)
    except msgspec.DecodeError as error:
        raise SettingsError(f"the entry {key!r} of the size table cannot be read: {error}") from error


def measured_size(settings: Settings, variables: dict[str, str], job_log: Log) -> MeasuredSize | None:
    """Return the entry for a job in the operator's table; None without one. A faulty table only costs a warning."""
    if not settings.sizes_file:
        return None
    try:
        return find_measured(read_table(Path(settings.sizes_file)), variables)
    except SettingsError as error:
        job_log.warning(f"no size comes from measured builds: {error}; see sizes_file")
        return None


def _unpacked(content: bytes) -> bytes:
    """Return what gzip has compressed, at most a byte more than is allowed. Raises EOFError if the end is missing."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    unpacked = unpacker.decompress(content, _LARGEST + 1)
    if not unpacker.eof and len(unpacked) <= _LARGEST:
        raise EOFError("the compressed file ends too early")
    return unpacked
