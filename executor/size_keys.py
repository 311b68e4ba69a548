"""The keys under which the size table may know a job's build, from most to least exact. Pure.

Derived from the job's public variables only: those that Spack's pipelines set (`SPACK_JOB_SPEC_…`) and `SPACK_BUILD_JOBS`.
The table's writer derives the same keys from telemetry; tests/data/sizes/keys.json holds both to one definition, which
docs/sizing.md describes.
"""

import re
from collections.abc import Mapping

EXPENSIVE = ("cuda", "fortran", "hdf5", "mpi", "openmp", "python", "rocm", "sycl")
"""Variants that change what a build needs by a class of its own, in the order in which keys name them."""
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
# Spack writes `+on~off name=value`; values with special characters are quoted
_VARIANT = re.compile(
    r"""(?P<name>[\w.-]+):?==?(?P<value>"[^"]*"|'[^']*'|\S*)|(?P<sign>[+~-])(?P=sign)?(?P<switch>[\w.-]+)"""
)


def size_keys(variables: Mapping[str, str]) -> list[str]:
    """Return the keys of a job; none if it does not name the package that it builds."""
    get = variables.get
    name, version = get("SPACK_JOB_SPEC_PKG_NAME", ""), get("SPACK_JOB_SPEC_PKG_VERSION", "")
    if not name:
        return []
    variants = read_variants(get("SPACK_JOB_SPEC_VARIANTS", ""))
    expensive = "".join(f"+{variant}" for variant in EXPENSIVE if variants.get(variant) is True)
    build_system = variants.get("build_system")
    compiler = f"%{job_compiler(variables)}".removesuffix("%")
    family, jobs = target_family(get("SPACK_JOB_SPEC_ARCH", "")), get("SPACK_BUILD_JOBS", "")
    dag_hash = get("SPACK_JOB_SPEC_DAG_HASH", "")
    keys = {
        f"/{dag_hash}": bool(dag_hash),
        f"{name}@{version}{expensive}{compiler} target={family} jobs={jobs}": bool(version and family and jobs),
        f"{name}@{version}{expensive}{compiler}": bool(version),
        f"{name}@{version}{compiler}": bool(version),
        f"{name}@{version}": bool(version),
        f"{name}{expensive}": True,
        name: True,
        f"build_system={build_system}": isinstance(build_system, str) and build_system != "",
        "*": True,
    }
    return [key for key, is_known in keys.items() if is_known]


def target_family(architecture: str) -> str:
    """Return the family of `platform-os-target`: `x86_64` for `linux-debian12-zen3`; an unknown target is its own."""
    target = architecture.rpartition("-")[2]
    if generic := _GENERIC.fullmatch(target):
        return generic[1] or "aarch64"
    return _FAMILY.get(target, target)


def job_compiler(variables: Mapping[str, str]) -> str:
    """Return `name@version`; empty where the job does not say both."""
    parts = [variables.get(f"SPACK_JOB_SPEC_COMPILER_{part}", "") for part in ("NAME", "VERSION")]
    return "@".join(parts) if all(parts) else ""


def read_variants(text: str) -> dict[str, str | bool]:
    """Return variants as Spack writes them: true or false for those that are on or off, a text for the others."""
    return {
        match["name"] or match["switch"]: match["value"].strip("\"'") if match["name"] else match["sign"] == "+"
        for match in _VARIANT.finditer(text)
    }
