"""Sizes of the jobs of a stack: from the job's own variables, the size table, and match lists of ours. Pure.

Each beats the one before it. What comes from the table is marked as a hint, which a newer table beats; what a person has
written into a match list is not.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from . import ci_section, sizes
from .specs import BadRequest, Spec

_UNITS = {"cpu": 1000, "memory": 1, "memory_limit": 1, "disk": 1}


class Sources(NamedTuple):
    """Where sizes come from."""

    table: sizes.Table
    lists: Sequence[Mapping[str, Any]]


def sized(
    specs: Mapping[str, Spec], jobs: Mapping[str, Dict[str, Any]], sources: Sources, matches: ci_section.Matches
) -> Dict[str, sizes.Row]:
    """Return what each job asks for, and write it into its variables, tags and image."""
    rows = [_row(row) for row in sources.lists]
    return {key: _one(specs[key], jobs[key], sources, rows, matches) for key in sorted(jobs)}


def _one(
    spec: Spec, job: Dict[str, Any], sources: Sources, rows: Sequence[sizes.Row], matches: ci_section.Matches
) -> sizes.Row:
    variables = job["variables"]
    count = str(variables.get("SPACK_BUILD_JOBS", ""))
    at, measured = sizes.find(sources.table, spec, int(count) if count.isdigit() else 0)
    variables.update(sizes.variables(measured, sources.table.digest))
    number = ci_section.first_match(sources.lists, spec.key, matches)
    listed = rows[number] if number is not None else sizes.Row()
    by_hand = sizes.variables(listed, "")
    variables.update(by_hand)
    if by_hand:  # no newer table beats what a person has written
        variables.pop(sizes.MARK, None)
    if number is not None:
        job.update({name: sources.lists[number][name] for name in ("tags", "image") if name in sources.lists[number]})
    return sizes.asked(variables)._replace(
        expected_seconds=measured.expected_seconds if listed.expected_seconds is None else listed.expected_seconds,
        p90_seconds=measured.p90_seconds if listed.p90_seconds is None else listed.p90_seconds,
        source=listed.source or measured.source or at,
    )


def _row(listed: Mapping[str, Any]) -> sizes.Row:
    """Return a row of a match list as a size. Raises BadRequest for what is no quantity."""
    first = listed["match"][0]
    found = {name: sizes.quantity(listed.get(name, ""), unit) for name, unit in _UNITS.items()}
    wrong: List[str] = [name for name in _UNITS if name in listed and found[name] is None]
    jobs, times = listed.get("build_jobs"), [listed.get("expected_seconds"), listed.get("p90_seconds")]
    wrong += ["build_jobs"] if jobs is not None and not (isinstance(jobs, int) and 0 < jobs <= 4096) else []
    wrong += ["expected_seconds, p90_seconds"] if not all(each is None or _is_time(each) for each in times) else []
    if wrong:
        raise BadRequest(f"the match list for '{first}' has no usable {wrong[0]}: {listed.get(wrong[0])!r}")
    return sizes.Row(
        cpu_millicores=found["cpu"],
        memory_bytes=found["memory"],
        memory_limit_bytes=found["memory_limit"],
        disk_bytes=found["disk"],
        build_jobs=jobs,
        expected_seconds=times[0],
        p90_seconds=times[1],
        source=f"match list: {first}",
    )


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10**9
