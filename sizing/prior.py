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
from sizing.quantities import MOST_BYTES, parse_quantity

SOURCE = "the operator's table"
_MOST_MILLICORES = 10_000_000
_MOST_JOBS = 4096
_MATCH = re.compile(r"([A-Za-z0-9_][\w.-]*)\s*(?:\+([\w-]+))?")


def read_priors(text: str, *, name: str) -> dict[str, Prior]:
    """Return the priors by key: `NAME`, `NAME+VARIANT`, `*`. Raises BadRequest, naming file and line."""
    # strict: a quote that is never closed would take in all rows below it
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        columns = set(rows.fieldnames or ())
    except csv.Error as error:
        raise BadRequest(f"{name}, line 1: {error}") from error
    if "match" not in columns:
        raise BadRequest(f"{name}: there is no column 'match'; it needs match, cpu_request, memory_request, build_jobs")
    priors: dict[str, Prior] = {}
    try:
        for row in rows:
            key = _key(row)
            if key:
                priors.setdefault(key, _prior(row))
    except ValueError as error:
        raise BadRequest(f"{name}, line {rows.line_num}: {error}") from error
    except csv.Error as error:
        raise BadRequest(f"{name}, in the row of line {rows.line_num + 1}: {error}; is a quote not closed?") from error
    return priors


def _key(row: Mapping[str, str | None]) -> str:
    match = (row.get("match") or "").strip()
    if None in row:  # as `1,5G` makes them: what follows is not what its head says
        raise ValueError("it has more columns than the head")
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
        memory_bytes=_within(parse_quantity(memory), MOST_BYTES, memory) if memory else None,
        cpu_millicores=_within(parse_quantity(cpu, per_unit=1000), _MOST_MILLICORES, cpu) if cpu else None,
        build_jobs=_within(_whole(jobs), _MOST_JOBS, jobs, least=1) if jobs else None,
        source=SOURCE,
    )


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text[:20])


def _within(value: int, most: int, text: str, *, least: int = 0) -> int:
    """Return the value. Raises ValueError if the driver would not take a size with it."""
    if not least <= value <= most:
        raise ValueError(f"{text[:40]!r} is {'too small' if value < least else 'larger than any machine'}")
    return value
