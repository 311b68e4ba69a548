"""The size table, `sizes.json`, version 1: what earlier builds used, looked up by the package that a job builds.

The schema is docs/reference/sizes.schema.json. Knows no caps and decides no size.
"""

from pathlib import Path

import msgspec

from executor.errors import SettingsError
from executor.log import Log
from executor.settings import Settings

VERSION = 1
_LARGEST = 64 << 20


class MeasuredSize(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the table: what earlier builds of the same package used."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    disk_bytes: int | None = None
    source: str = ""


class SizeTable(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    version: int
    sizes: dict[str, MeasuredSize] = {}


def read_table(path: Path) -> SizeTable:
    """Return a file's table. Raises SettingsError if it is missing, too large, not a table, or of another version."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise SettingsError(f"{path} is larger than {_LARGEST >> 20} MiB")
        table = msgspec.json.decode(content, type=SizeTable)
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if table.version != VERSION:
        raise SettingsError(f"{path} has version {table.version}, this driver reads {VERSION}")
    return table


def find_measured(table: SizeTable, variables: dict[str, str]) -> MeasuredSize | None:
    """Return the most exact entry for the job's package: by hash, then name@version%compiler, name@version, name."""
    name = variables.get("SPACK_JOB_SPEC_PKG_NAME", "")
    version = variables.get("SPACK_JOB_SPEC_PKG_VERSION", "")
    compiler = variables.get("SPACK_JOB_SPEC_COMPILER_NAME", "")
    if variables.get("SPACK_JOB_SPEC_COMPILER_VERSION"):
        compiler += f"@{variables['SPACK_JOB_SPEC_COMPILER_VERSION']}"
    dag_hash = variables.get("SPACK_JOB_SPEC_DAG_HASH", "")
    keys = [f"/{dag_hash}", f"{name}@{version}%{compiler}", f"{name}@{version}", name]
    return next((table.sizes[key] for key in keys if key in table.sizes), None)


def measured_size(settings: Settings, variables: dict[str, str], job_log: Log) -> MeasuredSize | None:
    """Return the entry for a job in the operator's table; None without one. A faulty table only costs a warning."""
    if not settings.sizes_file:
        return None
    try:
        return find_measured(read_table(Path(settings.sizes_file)), variables)
    except SettingsError as error:
        job_log.warning(f"no size comes from measured builds: {error}; see sizes_file")
        return None
