"""The last build of each spec, as one document for other parts of a farm. Pure.

The schema is docs/reference/last-builds.schema.json.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sizing.builds import Build

VERSION = 1


def last_builds(builds: Iterable[Build]) -> dict[str, Build]:
    """Return the last build of each concrete spec by its hash.

    `builds` stand in the order in which they ended. The agent and the driver both describe a build: the driver's word counts
    only where the agent's is missing.
    """
    given = [build for build in builds if build.dag_hash]
    by_the_agent = {_job(build) for build in given if not _is_the_driver_s(build) and build.job_id}
    return {build.dag_hash: build for build in given if not (_is_the_driver_s(build) and _job(build) in by_the_agent)}


def document(found: Mapping[str, Build], *, now: float) -> str:
    """Return the document as JSON, a build a line."""
    lines = [f"{json.dumps(key)}: {json.dumps(_row(found[key]), sort_keys=True)}" for key in sorted(found)]
    head = f'{{"version": {VERSION}, "made_at": {json.dumps(_time(now))}, "builds": {{\n'
    return head + ",\n".join(lines) + "\n}}\n"


def _row(build: Build) -> dict[str, Any]:
    return {
        "name": build.name,
        "version": build.version,
        "outcome": build.outcome,
        "ended_at": _time(build.ended),
        "project": build.project,
        "job_id": build.job_id,
        "stack": build.stack,
        "trusted": build.trusted,
    }


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_the_driver_s(build: Build) -> bool:
    return build.outcome.startswith("script_")


def _job(build: Build) -> tuple[str, str]:
    return build.project, build.job_id
