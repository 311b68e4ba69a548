"""The keys under which a build counts, from most to least exact. Pure.

Derived from what telemetry says of the spec. The table's readers derive the same keys from job variables;
tests/data/sizes/keys.json holds both to one definition, which docs/sizing.md describes.
"""

import re
from collections.abc import Mapping, Sequence

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


def spec_keys(  # noqa: PLR0913 (each is a fact of its own)
    *, name: str, version: str, dag_hash: str, compiler: str, architecture: str, expensive: str, build_system: str, jobs: int
) -> tuple[str, ...]:
    """Return the keys of a build; none without a name. `expensive` is what `expensive_variants` returns."""
    if not name:
        return ()
    built_with = f"%{compiler}" if "@" in compiler.strip("@") else ""
    family = target_family(architecture)
    keys = {
        f"/{dag_hash}": bool(dag_hash),
        f"{name}@{version}{expensive}{built_with} target={family} jobs={jobs}": bool(version and family and jobs),
        f"{name}@{version}{expensive}{built_with}": bool(version),
        f"{name}@{version}{built_with}": bool(version),
        f"{name}@{version}": bool(version),
        f"{name}{expensive}": True,
        name: True,
        f"build_system={build_system}": bool(build_system),
        "*": True,
    }
    return tuple(key for key, is_known in keys.items() if is_known)


def expensive_variants(variants: Mapping[str, str | bool | Sequence[str]]) -> str:
    """Return those that are on, each with its `+`."""
    return "".join(f"+{variant}" for variant in EXPENSIVE if variants.get(variant) is True)


def target_family(architecture: str) -> str:
    """Return the family of `platform-os-target`: `x86_64` for `linux-debian12-zen3`; an unknown target is its own."""
    target = architecture.rpartition("-")[2]
    if generic := _GENERIC.fullmatch(target):
        return generic[1] or "aarch64"
    return _FAMILY.get(target, target)
