"""What an operator asked for by hand: a table in CSV, in the shape of Spack's own requests. Pure.

Columns: `match` (a package, or a package and a variant: `warpx +python`), `cpu_request` and `memory_request` as Kubernetes
writes them, or `cpu_cores` and `memory_bytes` as numbers, and `build_jobs`. The first row of a package wins. `*default…` is
the size of all other builds; other names that begin with `*` are jobs that build nothing. Other columns are ignored, but
rows with `effective` 0 or of a platform other than `linux` do not count.
"""

import csv
import io
import re
from collections.abc import Mapping

from sizing.errors import BadRequest
from sizing.keys import EXPENSIVE
from sizing.observations import Prior
from sizing.quantities import parse_quantity

SOURCE = "the operator's table"
_MATCH = re.compile(r"([A-Za-z0-9_][\w.-]*)\s*(?:\+([\w-]+))?")


def read_priors(text: str, *, name: str) -> dict[str, Prior]:
    """Return the priors by key: `NAME`, `NAME+VARIANT`, `*`. Raises BadRequest, naming file and line."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if not {"match"} <= set(rows.fieldnames or ()):
        raise BadRequest(f"{name}: there is no column 'match'; it needs match, cpu_request, memory_request, build_jobs")
    priors: dict[str, Prior] = {}
    try:
        for row in rows:
            key = _key(row)
            if key:
                priors.setdefault(key, _prior(row))
    except (ValueError, csv.Error) as error:
        raise BadRequest(f"{name}, line {rows.line_num}: {error}") from error
    return priors


def _key(row: Mapping[str, str | None]) -> str:
    match = (row.get("match") or "").strip()
    if row.get("effective") == "0" or (row.get("platform") or "linux") != "linux":
        return ""
    if match.startswith("*"):
        return "*" if match.startswith("*default") else ""
    found = _MATCH.fullmatch(match)
    if found is None or (found[2] and found[2] not in EXPENSIVE):
        return ""  # a condition that no key can express
    return f"{found[1]}+{found[2]}" if found[2] else found[1]


def _prior(row: Mapping[str, str | None]) -> Prior:
    memory = (row.get("memory_bytes") or row.get("memory_request") or "").strip()
    cpu = (row.get("cpu_cores") or row.get("cpu_request") or "").strip()
    jobs = (row.get("build_jobs") or "").strip()
    return Prior(
        memory_bytes=parse_quantity(memory) if memory else None,
        cpu_millicores=parse_quantity(cpu, per_unit=1000) if cpu else None,
        build_jobs=int(jobs) if jobs else None,
        source=SOURCE,
    )
