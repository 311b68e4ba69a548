"""GitLab's limits, and ours, on written pipelines. Pure: it reads the documents that are written, not what they came from.

Source: GitLab's "Instance limits"; Gitlab::Ci::ArtifactFileReader (5 MB for the archive and for the file in it).
"""

import zlib
from typing import Any, Dict, List, Mapping, NamedTuple

from ..graph import in_order
from ..specs import BadRequest
from . import yaml_text

ARCHIVE_BYTES = 4 * 10**6
"""Of all YAML in one archive; GitLab reads at most 5 MiB."""
PARSED_BYTES = 2 << 20
"""GitLab's default of `max_yaml_size_bytes`; 1 MiB before 17."""
JOBS = 500
NAME = 128
NEEDS = 50
_NO_JOBS = frozenset(("stages", "workflow", "variables", "default", "include", "image", "services", "cache"))


RETRIES = 2


class Limits(NamedTuple):
    """What a pipeline may have."""

    name: int = NAME
    needs: int = NEEDS
    jobs: int = JOBS
    parsed_bytes: int = PARSED_BYTES
    archive_bytes: int = ARCHIVE_BYTES


def faults(documents: Mapping[str, Mapping[str, Any]], limits: Limits) -> List[str]:
    """Return what GitLab would reject, a line each: document, job, value, limit."""
    found: List[str] = []
    packed = 0
    for path, document in documents.items():
        text = yaml_text.document(document).encode("utf-8")
        packed += len(zlib.compress(text)) + 200  # 200: a file's heads in a ZIP archive
        size = yaml_text.parsed_bytes(document)
        if size > limits.parsed_bytes:
            found.append(f"{path}: {size} parsed bytes; at most {limits.parsed_bytes}")
        if len(text) > limits.archive_bytes:
            found.append(f"{path}: {len(text)} bytes; at most {limits.archive_bytes}")
        found += [f"{path}: {fault}" for fault in _job_faults(document, limits)]
    if packed > limits.archive_bytes:
        found.append(f"all YAML together: {packed} bytes packed; at most {limits.archive_bytes} in an archive")
    return found


def job_names(document: Mapping[str, Any]) -> List[str]:
    """Return the names of a pipeline's jobs; hidden ones are none."""
    return [name for name in document if name not in _NO_JOBS and not name.startswith(".")]


def graph_of(document: Mapping[str, Any]) -> Dict[str, List[str]]:
    """Return the needs of each job within the pipeline, by name."""
    return {
        name: [
            need["job"] if isinstance(need, dict) else need
            for need in document[name].get("needs", [])
            if isinstance(need, str) or "pipeline" not in need
        ]
        for name in job_names(document)
    }


def _job_faults(document: Mapping[str, Any], limits: Limits) -> List[str]:
    found: List[str] = []
    jobs = job_names(document)
    if len(jobs) > limits.jobs:
        found.append(f"{len(jobs)} jobs; at most {limits.jobs}")
    graph = graph_of(document)
    for name in document:
        if name not in _NO_JOBS:
            found += [f"{name}: {fault}" for fault in _key_faults(document[name], document)]
    for name in jobs:
        if len(name) > limits.name:
            found.append(f"{name}: its name has {len(name)} characters; at most {limits.name}")
        count = len(document[name].get("needs", []))
        if count > limits.needs:
            found.append(f"{name}: {count} needs; at most {limits.needs}")
        lacking = [need for need in graph[name] if need not in graph]
        found += [f"{name}: needs {need}, which is no job of this pipeline" for need in lacking]
    if not found:
        try:
            in_order(graph)
        except BadRequest as error:
            found.append(str(error))
    return found


def _key_faults(job: Any, document: Mapping[str, Any]) -> List[str]:
    """Return what is wrong with keys that a `ci` section may have given a job, or what jobs extend."""
    if not isinstance(job, dict):
        return []
    given = job.get("extends") or []
    extended = [] if "include" in document else given if isinstance(given, list) else [given]
    found = [f"extends {each}, which this pipeline does not have" for each in extended if str(each) not in document]
    retry = job.get("retry", 0)
    most = retry.get("max", 0) if isinstance(retry, dict) else retry
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= RETRIES:
        found.append(f"is tried again {most!r} times; GitLab takes 0 to {RETRIES}")
    return found
