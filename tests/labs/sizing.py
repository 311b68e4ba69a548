"""Telemetry documents as builds leave them, for tests and benches of sizing."""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

NOW = dt.datetime(2026, 11, 30, 3, tzinfo=dt.UTC).timestamp()
DAY = 86_400.0
GIB = 1 << 30


def rfc3339(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def document(name: str = "hdf5", *, ended: float = NOW - DAY, seconds: float = 600, **changes: Any) -> dict[str, Any]:
    """Return a good document of a protected build. `changes` replace keys; of a dict, only the keys that it names."""
    made: dict[str, Any] = {
        "version": 1, "complete": True, "started_at": rfc3339(ended - seconds), "ended_at": rfc3339(ended),
        "outcome": "built", "exit_code": 0,
        "spec": {
            "name": name, "version": "1.14.5", "hash": hashlib.sha256(name.encode()).hexdigest()[:32],
            "architecture": "linux-debian12-x86_64_v3", "compiler": "gcc@13.2.0", "build_jobs": 4,
            "variants": {"mpi": True, "build_system": "cmake"},
        },
        "job": {"id": "1", "project": "group/farm", "ref_protected": True, "attempt": 1},
        "asked": {"cpu_millicores": 4000, "memory_bytes": 16 * GIB, "memory_limit_bytes": 16 * GIB},
        "machine": {"cpus": 64, "memory_bytes": 256 * GIB},
        "totals": {
            "wall_seconds": seconds, "cpu_seconds": 3 * seconds, "memory_working_set_peak_bytes": 10 * GIB,
            "memory_anonymous_peak_bytes": 9 * GIB, "memory_peak_bytes": 16 * GIB, "disk_peak_bytes": 2 * GIB,
        },
        "versions": {"spack_farm": "0.1.0", "python": "3.11.2"},
    }  # fmt: skip
    for key, value in changes.items():
        made[key] = made[key] | value if isinstance(value, dict) and isinstance(made.get(key), dict) else value
    return made


def killed(name: str = "hdf5", *, at_bytes: int, **changes: Any) -> dict[str, Any]:
    """Return the document of a build that was killed at a memory limit."""
    kill = {"process": "cc1plus", "inferred": False, "limit_bytes": at_bytes, "at_seconds": 9}
    asked = {"memory_bytes": at_bytes, "memory_limit_bytes": at_bytes}
    totals = {"memory_working_set_peak_bytes": at_bytes - 4096, "memory_anonymous_peak_bytes": at_bytes - 8192}
    return document(name, outcome="memory_killed", exit_code=137, memory_kills=[kill], asked=asked, totals=totals, **changes)


def upload(made: dict[str, Any], folder: Path, *, place: str = "protected") -> Path:
    """Write a document where the agent uploads it, below a folder; return its path."""
    content = json.dumps(made).encode()
    spec, day = made["spec"], made["started_at"][:10]
    digest = hashlib.sha256(content).hexdigest()[:20]
    path: Path = folder / "telemetry/v1" / place / day / f"{spec['name']}-{spec['version']}-{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
