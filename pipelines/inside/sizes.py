"""Sizes of jobs from the size table: keys, lookup, job variables. Pure.

The keys are derived as in all readers of the table: docs/sizing.md describes them, tests/data/sizes/keys.json has the cases.
"""

import hashlib
import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .specs import Spec

EXPENSIVE = ("cuda", "fortran", "hdf5", "mpi", "openmp", "python", "rocm", "sycl")
LARGEST_BYTES = 64 << 20
MARK = "SPACK_FARM_SIZE_SOURCE"
"""The variable with the digest of the table that a job's sizes come from."""
VERSIONS = (1, 2)
_FAMILIES = {
    "x86_64": (
        "nocona core2 nehalem westmere sandybridge ivybridge haswell broadwell skylake mic_knl skylake_avx512 cannonlake"
        " cascadelake icelake sapphirerapids k10 bulldozer piledriver steamroller excavator zen zen2 zen3 zen4 zen5"
    ),
    "aarch64": "thunderx2 a64fx cortex_a72 neoverse_n1 neoverse_v1 neoverse_v2 neoverse_n2 m1 m2 m3 m4",
    "ppc64le": "power8le power9le power10le",
    "ppc64": "power7 power8 power9 power10",
    "riscv64": "u74mc",
    "x86": "i686 pentium2 pentium3 pentium4 prescott",
}
_FAMILY = {target: family for family, targets in _FAMILIES.items() for target in targets.split()}
_GENERIC = re.compile(r"(x86_64)_v\d+|(arm)v\d+\.\d+a")
_MOST = 1 << 50


class Row(NamedTuple):
    """A row of the table, or what a match list says. None is unknown."""

    cpu_millicores: Optional[int] = None
    memory_bytes: Optional[int] = None
    memory_limit_bytes: Optional[int] = None
    disk_bytes: Optional[int] = None
    build_jobs: Optional[int] = None
    expected_seconds: Optional[float] = None
    p90_seconds: Optional[float] = None
    source: str = ""


class Table(NamedTuple):
    """The size table: rows by key, and the digest that marks sizes as taken from it."""

    rows: Dict[str, Row]
    digest: str


NO_TABLE = Table({}, "")


def read_table(content: bytes) -> Tuple[Table, str]:
    """Return the table and a warning; a table that can't be read is empty, and the warning says why."""
    if len(content) > LARGEST_BYTES:
        return NO_TABLE, f"the size table has more than {LARGEST_BYTES >> 20} MiB and is not read"
    try:
        document = json.loads(content.decode("utf-8"))
        version, rows = document["version"], document["sizes"]
        items = sorted(rows.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return NO_TABLE, f"the size table can't be read ({type(error).__name__}: {error})"
    if version not in VERSIONS:
        return NO_TABLE, f"the size table has version {version}; versions 1 and 2 are read"
    return Table({key: _row(value) for key, value in items}, hashlib.sha256(content).hexdigest()[:16]), ""


def _row(value: Any) -> Row:
    given = value if isinstance(value, dict) else {}
    source = given.get("source")
    return Row(
        cpu_millicores=_whole(given.get("cpu_millicores")),
        memory_bytes=_whole(given.get("memory_bytes")),
        memory_limit_bytes=_whole(given.get("memory_limit_bytes")),
        disk_bytes=_whole(given.get("disk_bytes")),
        build_jobs=_whole(given.get("build_jobs")),
        expected_seconds=_seconds(given.get("expected_seconds")),
        p90_seconds=_seconds(given.get("p90_seconds")),
        source=source if isinstance(source, str) else "",
    )


def _whole(value: Any) -> Optional[int]:
    return int(value) if _is_number(value) and 1 <= value <= _MOST else None


def _seconds(value: Any) -> Optional[float]:
    return float(value) if _is_number(value) and 0 <= value <= _MOST else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def find(table: Table, spec: Spec, jobs: int) -> Tuple[str, Row]:
    """Return the most exact key that the table has for a spec, and its row; an empty key if it has none."""
    key = next((key for key in keys(spec, jobs) if key in table.rows), "")
    return key, table.rows[key] if key else Row()


def keys(spec: Spec, jobs: int) -> List[str]:
    """Return the keys of a spec's size, the most exact first; `jobs` is 0 where a job does not say."""
    if not spec.name:
        return []
    known = spec.compiler_name and spec.compiler_version
    built_with = f"%{spec.compiler_name}@{spec.compiler_version}" if known else ""
    family = target_family(spec.architecture)
    name, version, expensive = spec.name, spec.version, spec.expensive
    exact = f"{name}@{version}{expensive}{built_with}"
    ordered = [
        ("/" + spec.key, spec.key),
        (f"{exact} target={family} jobs={jobs}", version and family and jobs),
        (exact, version),
        (f"{name}@{version}{built_with}", version),
        (f"{name}@{version}", version),
        (name + expensive, True),
        (name, True),
        ("build_system=" + spec.build_system, spec.build_system),
        ("*", True),
    ]
    return list(dict.fromkeys(key for key, is_known in ordered if is_known))


def target_family(architecture: str) -> str:
    """Return the family of `platform-os-target`; an unknown target is a family of its own."""
    target = architecture.rpartition("-")[2]
    generic = _GENERIC.fullmatch(target)
    if generic:
        return generic.group(1) or "aarch64"
    return _FAMILY.get(target, target)


def variables(row: Row, digest: str) -> Dict[str, str]:
    """Return the job variables of a row; a digest marks them as a hint that a newer table beats."""
    given = {
        "KUBERNETES_CPU_REQUEST": f"{row.cpu_millicores}m" if row.cpu_millicores else "",
        "KUBERNETES_MEMORY_REQUEST": memory(row.memory_bytes),
        "KUBERNETES_MEMORY_LIMIT": memory(row.memory_limit_bytes),
        "KUBERNETES_EPHEMERAL_STORAGE_REQUEST": memory(row.disk_bytes),
        "SPACK_BUILD_JOBS": str(row.build_jobs or ""),
    }
    found = {name: value for name, value in given.items() if value}
    if found and digest:
        found[MARK] = digest
    return found


def memory(count: Optional[int]) -> str:
    """Return bytes as a quantity: mebibytes, rounded up."""
    return f"{-(-count // (1 << 20))}Mi" if count else ""


_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|K|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_SUFFIXES = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_SUFFIXES.update({"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50})


def quantity(text: object, unit: int = 1) -> Optional[int]:
    """Return a Kubernetes quantity in units of 1/`unit`, rounded up; None for what is none."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if not found:
        return None
    number, suffix = float(found.group(1)), found.group(2)
    factor = 0.001 if suffix == "m" else _SUFFIXES.get(suffix or "", 1)
    scaled = number * factor * unit
    return int(scaled) + (scaled > int(scaled)) or None


def asked(given: Mapping[str, object]) -> Row:
    """Return what a job's variables ask for."""
    disk = given.get("KUBERNETES_EPHEMERAL_STORAGE_REQUEST", "")
    jobs = str(given.get("SPACK_BUILD_JOBS", ""))
    return Row(
        cpu_millicores=quantity(given.get("KUBERNETES_CPU_REQUEST", ""), 1000),
        memory_bytes=quantity(given.get("KUBERNETES_MEMORY_REQUEST", "")),
        memory_limit_bytes=quantity(given.get("KUBERNETES_MEMORY_LIMIT", "")),
        disk_bytes=quantity(disk),
        build_jobs=int(jobs) if jobs.isdigit() and int(jobs) else None,
    )
