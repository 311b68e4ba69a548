"""Writes the job graph, version 1, and its digest. Pure. The schema is docs/reference/job-graph.schema.json."""

import base64
import hashlib
import json
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from .sizes import Row
from .specs import Spec

FILE = "job-graph.json"
"""Its name among the artifacts of a generation."""


class Facts(NamedTuple):
    """What holds for the whole graph."""

    stack: str
    spack_commit: str
    packages_commit: str
    made_at: str
    mirror: str


class Fate(NamedTuple):
    """What becomes of a spec, and why."""

    state: str
    why: str


class Job(NamedTuple):
    """What the pipeline says of a spec's job."""

    name: str
    part: str
    needs: Sequence[str]
    row: Row
    tags: Sequence[str]
    image: str


NO_JOB = Job("", "", (), Row(), (), "")


def graph(facts: Facts, specs: Sequence[Spec], fates: Mapping[str, Fate], jobs: Mapping[str, Job]) -> Dict[str, Any]:
    """Return the document; `specs` are in the order in which they are to stand, dependencies first."""
    made: Dict[str, Any] = {
        "version": 1,
        "stack": facts.stack,
        "spack_commit": facts.spack_commit,
        "packages_commit": facts.packages_commit,
        "made_at": facts.made_at,
        "mirror": facts.mirror,
        "jobs": [_job(spec, fates[spec.key], jobs.get(spec.key, NO_JOB)) for spec in specs],
    }
    made["digest"] = digest(made)
    return made


def _job(spec: Spec, fate: Fate, job: Job) -> Dict[str, Any]:
    compiler = f"{spec.compiler_name}@{spec.compiler_version}" if spec.compiler_name else ""
    return {
        "key": spec.key,
        "name": spec.name,
        "spec": spec.text,
        "needs": list(job.needs),
        "dependencies": list(spec.dependencies),
        "size": {
            "cpu_millicores": job.row.cpu_millicores,
            "memory_bytes": job.row.memory_bytes,
            "disk_bytes": job.row.disk_bytes,
        },
        "build_jobs": job.row.build_jobs,
        "expected_seconds": job.row.expected_seconds,
        "p90_seconds": job.row.p90_seconds,
        "tags": list(job.tags),
        "image": job.image,
        "state": fate.state,
        "why": fate.why,
        "job": job.name,
        "part": job.part,
        "size_source": job.row.source,
        "version": spec.version,
        "compiler": compiler,
        "architecture": spec.architecture,
        "variants": spec.variants,
        "recipe": spec.recipe,
        "is_root": spec.is_root,
    }


def digest(made: Mapping[str, Any]) -> str:
    """Return the digest of a document, which depends neither on itself nor on the time."""
    kept = {key: value for key, value in made.items() if key not in ("digest", "made_at")}
    content = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return base64.b32encode(hashlib.sha256(content.encode("ascii")).digest()).decode("ascii").rstrip("=").lower()


def text(made: Mapping[str, Any]) -> str:
    """Return the document as JSON, a job a line, so that two generations can be compared with `diff`."""
    head = {key: value for key, value in made.items() if key != "jobs"}
    lines: List[str] = [json.dumps(job, sort_keys=True) for job in made["jobs"]]
    opened = json.dumps(head, sort_keys=True)[:-1]
    return opened + ', "jobs": [\n' + ",\n".join(lines) + "\n]}\n"
