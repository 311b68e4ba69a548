"""The size table in the shapes that others read: Spack's CI configuration, and gantry's answer to a dynamic mapping. Pure.

Source: Spack's documentation, "CI Pipelines", `submapping` and `dynamic-mapping`; the first match wins. A row by exact hash
or by number of jobs has no spec that matches it, and is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from sizing.size_table import Row

_PACKAGE = re.compile(
    r"(?P<name>[^@+% ]+)(?:@(?P<version>[^+% ]+))?(?P<variants>(?:\+[^+% ]+)*)(?:%(?P<compiler>[^@ ]+)@(?P<of>\S+))?"
)


def variables(row: Row, *, digest: str) -> dict[str, str]:
    """Return the job variables of a row; `digest` marks them as taken from that table."""
    known = {
        "KUBERNETES_CPU_REQUEST": f"{row.cpu_millicores}m" if row.cpu_millicores else "",
        "KUBERNETES_MEMORY_REQUEST": f"{-(-row.memory_bytes // 10**6)}M" if row.memory_bytes else "",
        "SPACK_BUILD_JOBS": str(row.build_jobs or ""),
        "SPACK_FARM_SIZE_SOURCE": digest,
    }
    return {name: value for name, value in known.items() if value}


def submapping(rows: Mapping[str, Row], *, digest: str) -> str:
    """Return a scope for Spack's `ci.yaml`: rows from most to least exact, then the default of all builds."""
    matches = {key: spec for key in rows if (spec := _spec(key))}
    if not matches and "*" not in rows:
        return "ci:\n  pipeline-gen: []\n"
    lines = ["ci:", "  pipeline-gen:"]
    if "*" in rows:
        lines += ["  - build-job:", *_variables(rows["*"], digest, "      ")]
    lines += ["  - submapping:"] if matches else []
    for key in sorted(matches, key=lambda key: (_exactness(key), key)):
        lines += [
            f"    - match: [{json.dumps(matches[key])}]",
            "      build-job:",
            *_variables(rows[key], digest, "        "),
        ]
    return "\n".join(lines) + "\n"


def allocation(rows: Mapping[str, Row], keys: Sequence[str], *, digest: str) -> dict[str, dict[str, str]]:
    """Return gantry's answer for a spec's keys: the variables of the most exact row; none where nothing is known."""
    row = next((rows[key] for key in keys if key in rows), Row())
    return {"variables": variables(row, digest=digest)} if row != Row() else {"variables": {}}


def _variables(row: Row, digest: str, indent: str) -> Iterator[str]:
    yield f"{indent}variables:"
    yield from (f"{indent}  {name}: {json.dumps(value)}" for name, value in variables(row, digest=digest).items())


def _spec(key: str) -> str:
    """Return the spec that matches a key's builds; nothing where there is none."""
    if key.startswith("build_system="):
        return key
    found = _PACKAGE.fullmatch(key)
    if found is None or key.startswith("/") or key == "*":
        return ""
    version = f"@={found['version']}" if found["version"] else ""
    compiler = f" %{found['compiler']}@={found['of']}" if found["compiler"] else ""
    return f"{found['name']}{version}{found['variants']}{compiler}"


def _exactness(key: str) -> int:
    """Return the place of a key in the chain, the most exact first."""
    marks = {"%": "%" in key, "@": "@" in key.partition("%")[0], "+": "+" in key.partition("%")[0]}
    order = ((True, True, True), (True, True, False), (False, True, True), (False, True, False), (False, False, True))
    if key.startswith("build_system="):
        return len(order) + 1
    found = (marks["%"], marks["@"], marks["+"])
    return order.index(found) if found in order else len(order)
