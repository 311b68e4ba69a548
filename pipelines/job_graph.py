"""The job graph, version 1: what a pipeline builds, in which order, how large, and what it leaves out and why.

Written by `inside/` in Spack's Python; read here, by the autoscaler and by pages. The schema is
docs/reference/job-graph.schema.json. Readers ignore keys that they do not know and reject other versions. Pure.
"""

import base64
import hashlib
import json
from typing import Any, Literal

import msgspec

from pipelines.errors import NotAccepted

VERSION = 1
LARGEST_BYTES = 64 << 20
"""A graph of 20,000 specs has about 20 MB."""
NOT_DIGESTED = ("digest", "made_at")
"""Keys that do not count for the digest: the same jobs have one digest, whenever they were computed."""

State = Literal["build", "pruned", "external", "copy"]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asks for. None: the operator's default."""

    cpu_millicores: int | None = None
    """CPU request."""
    memory_bytes: int | None = None
    """Memory request."""
    disk_bytes: int | None = None
    """Ephemeral storage request."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A concrete spec: a job that builds it, or the reason why there is none."""

    key: str
    """Hash of the spec; unique in the graph."""
    name: str
    """Name of the package."""
    spec: str
    """The spec as text, for people."""
    needs: tuple[str, ...] = ()
    """Keys of the jobs that end before this one starts: without what is pruned, and without what others imply.

    Only jobs of state `build` have needs, and only such jobs are named.
    """
    dependencies: tuple[str, ...] = ()
    """Keys of the direct dependencies, of all types, in any state."""
    size: Size = Size()
    """What the job asks for."""
    build_jobs: int | None = None
    """Number of parallel jobs of the build."""
    expected_seconds: float | None = None
    """Median wall time of earlier builds."""
    p90_seconds: float | None = None
    """Wall time that nine of ten builds keep."""
    tags: tuple[str, ...] = ()
    """Tags of the runner."""
    image: str = ""
    """Image of the job; empty: the runner's."""
    state: State = "build"
    """`build`: it has a job. `pruned`: it need not be built. `external`: it is the system's. `copy`: it is copied."""
    why: str = ""
    """Why it is in this state."""
    job: str = ""
    """Name of the job in GitLab; empty if there is none."""
    part: str = ""
    """Name of the child pipeline that has the job; empty: the pipeline itself."""
    size_source: str = ""
    """Where size and seconds come from, for people."""
    version: str = ""
    """Version of the package."""
    compiler: str = ""
    """`name@version` of the compiler; empty without one."""
    architecture: str = ""
    """`platform-os-target`."""
    variants: str = ""
    """The variants as Spack prints them."""
    recipe: str = ""
    """Digest of the package's recipe, patches included."""
    is_root: bool = False
    """Whether the environment asks for it; all others are dependencies."""


class JobGraph(msgspec.Struct, frozen=True, kw_only=True):
    """All concrete specs of a stack, dependencies first."""

    version: int
    """1."""
    digest: str = ""
    """SHA-256 of the canonical document without `digest` and `made_at`: base32, lower case, without padding."""
    stack: str = ""
    """Name of the stack."""
    spack_commit: str = ""
    """Commit of Spack, or its version where it is no git checkout."""
    packages_commit: str = ""
    """Commit of the package repository."""
    made_at: str = ""
    """RFC 3339, UTC."""
    mirror: str = ""
    """Address of the build cache that the jobs publish to."""
    jobs: tuple[Job, ...] = ()
    """One for each concrete spec, dependencies first."""

    def by_key(self) -> dict[str, Job]:
        """Return the jobs by their key."""
        return {job.key: job for job in self.jobs}


def read(content: bytes) -> JobGraph:
    """Return the graph of a document. Raises NotAccepted for what is no graph of this version, or contradicts itself."""
    if len(content) > LARGEST_BYTES:
        raise NotAccepted(f"the job graph has {len(content)} bytes; at most {LARGEST_BYTES} are read")
    try:
        graph = msgspec.json.decode(content, type=JobGraph)
    except msgspec.MsgspecError as error:
        raise NotAccepted(f"not a job graph: {error}") from error
    except RecursionError as error:
        raise NotAccepted("not a job graph: it is nested too deep") from error
    if graph.version != VERSION:
        raise NotAccepted(f"the job graph has version {graph.version}; this spack-farm reads version {VERSION}")
    _require_references(graph)
    return graph


def _require_references(graph: JobGraph) -> None:
    seen: dict[str, State] = {}
    for job in graph.jobs:
        if job.key in seen:
            raise NotAccepted(f"the job graph has two jobs with the key {job.key}")
        # dependencies come first, so an unknown key is either missing or part of a cycle
        if lacking := next((key for key in (*job.needs, *job.dependencies) if key not in seen), ""):
            raise NotAccepted(f"{job.name}/{job.key[:7]} needs {lacking}, which is not among the jobs before it")
        if other := next((key for key in job.needs if seen[key] != "build"), ""):
            raise NotAccepted(f"{job.name}/{job.key[:7]} needs {other}, for which there is no job: it is {seen[other]}")
        seen[job.key] = job.state


def canonical(document: dict[str, Any]) -> bytes:
    """Return the bytes that a digest is of: JSON, keys sorted, without blanks, ASCII only."""
    kept = {key: value for key, value in document.items() if key not in NOT_DIGESTED}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest(document: dict[str, Any]) -> str:
    """Return the digest of a document: 52 characters, so that it fits a label."""
    return base64.b32encode(hashlib.sha256(canonical(document)).digest()).decode().rstrip("=").lower()
