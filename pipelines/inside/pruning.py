"""What gets no job, and why: externals, what a mirror has, what the last commit does not affect. Pure.

Source: Spack 1.1, lib/spack/spack/ci/__init__.py (`generate_pipeline`, `get_spec_filter_list`).
"""

from typing import Dict, List, Mapping, NamedTuple, Optional, Set

from .document import Fate
from .specs import Spec


class Rules(NamedTuple):
    """What to leave out; `affected` is None where every spec counts as affected."""

    up_to_date: bool
    externals: bool
    copies_only: bool
    affected: Optional[Set[str]]


def fates(specs: Mapping[str, Spec], there: Mapping[str, str], rules: Rules) -> Dict[str, Fate]:
    """Return what becomes of each spec; `there` has the address of a mirror that has the binary."""
    return {key: _fate(spec, there.get(key, ""), rules) for key, spec in specs.items()}


def _fate(spec: Spec, mirror: str, rules: Rules) -> Fate:
    if spec.external and rules.externals:
        return Fate("external", f"external: {spec.external}")
    if rules.copies_only:
        return Fate("copy", "its binary is copied")
    if rules.affected is not None and spec.key not in rules.affected:
        return Fate("pruned", "not affected by the last commit")
    if mirror and rules.up_to_date:
        return Fate("pruned", f"on the mirror {mirror}")
    return Fate("build", f"built again, although the mirror {mirror} has it" if mirror else "on no mirror")


def affected(specs: Mapping[str, Spec], packages: Set[str], depth: Optional[int]) -> Set[str]:
    """Return what uses a changed package, up to `depth` levels above it (None: all), and all that this needs."""
    users: Dict[str, List[str]] = {}
    for key, spec in specs.items():
        for need in spec.dependencies:
            users.setdefault(need, []).append(key)
    level = {key for key, spec in specs.items() if spec.name in packages}
    reached: Set[str] = set()
    left = depth
    while level and (left is None or left >= 0):
        reached |= level
        level = {user for key in level for user in users.get(key, ())} - reached
        left = None if left is None else left - 1
    waiting = sorted(reached)
    while waiting:
        for need in specs[waiting.pop()].dependencies:
            if need not in reached:
                reached.add(need)
                waiting.append(need)
    return reached
