"""Reads a spec as people and Spack's pipelines write it, and returns the keys of its size. Pure.

`NAME@VERSION +on~off name=value arch=PLATFORM-OS-TARGET %COMPILER@VERSION`, in any order after the name, as
`spack ci generate` asks a dynamic mapping; besides, `target=TARGET`, `jobs=N` and `/HASH`.
"""

import re

from sizing.errors import BadRequest
from sizing.keys import expensive_variants, spec_keys

_LONGEST = 10_000
_NAME = re.compile(r"\s*([A-Za-z0-9_][\w.-]*)?")
_PART = re.compile(
    r"""\s*(?:@=?(?P<version>[^\s%+~@=/]+)|%(?P<compiler>[\w.-]+)(?:@=?(?P<compiler_version>[^\s%+~@=/]+))?|/(?P<hash>\w+)"""
    r"""|(?P<key>[\w.-]+):?==?(?P<value>"[^"]*"|'[^']*'|[^\s%]*)|(?P<sign>[+~])(?P=sign)?(?P<switch>[\w.-]+))"""
)


def keys_of(text: str) -> tuple[str, ...]:
    """Return the keys, from most to least exact. Raises BadRequest, naming the rest that can't be read."""
    name = _NAME.match(text)
    assert name
    version = compiler = dag_hash = ""
    variants: dict[str, str | bool] = {}
    position = name.end()
    while text[position:].strip():
        found = _PART.match(text, position) if len(text) <= _LONGEST else None
        if found is None:
            raise BadRequest(f"{text[position:][:80].strip()!r} is not a part of a spec, such as hdf5@1.14+mpi%gcc@13.2.0")
        position = found.end()
        version = found["version"] or version
        if found["compiler"]:
            compiler = f"{found['compiler']}@{found['compiler_version']}" if found["compiler_version"] else ""
        dag_hash = found["hash"] or dag_hash
        if found["key"]:
            variants[found["key"]] = found["value"].strip("\"'")
        elif found["switch"]:
            variants[found["switch"]] = found["sign"] == "+"
    if not name[1]:
        return (f"/{dag_hash}",) if dag_hash else _rest(text)
    jobs = str(variants.pop("jobs", ""))
    return spec_keys(
        name=name[1], version=version, dag_hash=dag_hash, compiler=compiler, expensive=expensive_variants(variants),
        architecture=str(variants.get("arch") or variants.get("target") or ""),
        build_system=str(variants.get("build_system", "")), jobs=int(jobs) if jobs.isdecimal() and len(jobs) < 5 else 0,
    )  # fmt: skip


def _rest(text: str) -> tuple[str, ...]:
    raise BadRequest(f"{text[:80]!r} names no package: give a spec, such as hdf5@1.14+mpi%gcc@13.2.0")
