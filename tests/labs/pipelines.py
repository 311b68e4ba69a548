"""Both generators of pipelines on one environment, Spack's own and ours, and what a pipeline says whoever wrote it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server
from tests.labs.spack.lab import SpackLab

EXAMPLES: dict[str, Any] = {
    "specs": ["hello-app", "libhello", "hello-broken"],
    "view": False,
    "concretizer": {"unify": False, "reuse": False},
    "ci": {"pipeline-gen": [{"build-job": {"tags": ["spack"], "image": "spack:1"}}]},
}
"""An environment of five specs that are built."""
_NO_JOBS = {"stages", "workflow", "variables"}


_MEASURING = """
import json, resource, subprocess, sys, time
started = time.monotonic()
code = subprocess.call(sys.argv[2:])
use = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([code, time.monotonic() - started, use.ru_utime + use.ru_stime, use.ru_maxrss * 1024], file)
"""
"""Started by a large process, a program counts that one's memory as its own: this small one starts it instead."""


class Run(NamedTuple):
    """A program that ended: its code, its words, and what it and its children cost."""

    code: int
    output: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


class Generators:
    """An environment's folder, and both generators; everything lies below the lab's folder."""

    def __init__(self, lab: SpackLab, folder: Path, *, scopes: Sequence[Path] = ()) -> None:
        self.lab, self.folder, self.scopes = lab, folder, scopes
        self.environment_folder = folder / "environment"
        self.environment_folder.mkdir(parents=True, exist_ok=True)
        self.variables: dict[str, str] = {}

    def write(self, content: Mapping[str, Any] = EXAMPLES, *, mirror: str = "", **changes: Any) -> None:
        """Write the manifest; the mirror is the destination, a folder by default."""
        url = mirror or (self.folder / "mirror").as_uri()
        mirrors = {"mirrors": {"buildcache-destination": {"url": url, "signed": False}}}
        self.mirror = url
        (self.environment_folder / "spack.yaml").write_text(json.dumps({"spack": {**content, **mirrors, **changes}}))

    def _scopes(self) -> list[str]:
        # the lab's own scope has mirrors of sources only, in place of all others: a stronger one has the destination
        mirrors = self.folder / "mirrors"
        mirrors.mkdir(exist_ok=True)
        content = {"mirrors:": {"buildcache-destination": {"url": self.mirror, "signed": False}}}
        (mirrors / "mirrors.yaml").write_text(json.dumps(content))
        return [word for scope in (self.lab.scope, *self.scopes, mirrors) for word in ("-C", str(scope))]

    def spack(self, *words: str | Path) -> Run:
        """Run Spack itself."""
        return self._run([str(self.lab.spack.program), *self._scopes(), *map(str, words)])

    def peer(self, *options: str) -> Run:
        """Run `spack ci generate` in a folder of its own; the pipeline is `peer/peer.yml`."""
        folder = self.folder / "peer"
        folder.mkdir(exist_ok=True)
        words = ["-e", str(self.environment_folder), "ci", "generate", "--output-file", str(folder / "peer.yml")]
        argv = [str(self.lab.spack.program), *self._scopes(), *words, "--artifacts-root", str(folder / "jobs_scratch_dir")]
        return self._run([*argv, *options], folder)

    def ours(self, *options: str | Path) -> Run:
        """Run `spack-farm pipelines generate`; the pipeline is `pipeline/pipeline.yml`."""
        words = ["pipelines", "generate", str(self.environment_folder), "--spack", str(self.lab.spack.root)]
        return self._run([sys.executable, "-m", "spack_farm", *words, *self._scopes(), *map(str, options)])

    def farm(self, *words: str | Path) -> Run:
        """Run any verb of `spack-farm`."""
        return self._run([sys.executable, "-m", "spack_farm", *map(str, words)])

    def generator(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Run the generator in Spack's Python as a worker does; return its answer and exit code."""
        argv = [str(self.lab.spack.program), *self._scopes(), "python", str(ROOT / "pipelines/inside/generate.py")]
        done = subprocess.run(
            argv, input=json.dumps(request).encode(), env=self._environment(), capture_output=True, timeout=100, check=False
        )
        return json.loads(done.stdout), done.returncode

    def _environment(self) -> dict[str, str]:
        path = f"{os.environ['PATH']}:{self.lab.spack.tools or ''}"
        return self.lab.environment | {"PATH": path, "PYTHONPATH": str(ROOT)} | self.variables

    def _run(self, argv: Sequence[str], folder: Path | None = None) -> Run:
        output, cost = self.folder / "output.txt", self.folder / "cost.json"
        with output.open("wb") as file:
            subprocess.run(
                [sys.executable, "-S", "-c", _MEASURING, str(cost), *argv],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=self._environment(),
                cwd=folder or self.folder,
                timeout=600,
                check=True,
            )
        code, wall, cpu, peak = json.loads(cost.read_text())
        return Run(code, output.read_text("utf-8", "replace"), wall, cpu, peak)

    def pipeline(self) -> dict[str, Any]:
        """Return our pipeline, as GitLab understands it."""
        return read(self.folder / "pipeline/pipeline.yml")

    def peers_pipeline(self) -> dict[str, Any]:
        """Return Spack's pipeline."""
        return read(self.folder / "peer/peer.yml")


def read(path: Path) -> dict[str, Any]:
    """Return a pipeline with what jobs extend written into them, as GitLab merges it; hidden jobs are gone."""
    return extended(yaml.safe_load(path.read_text("utf-8")))


def extended(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pipeline with what jobs extend written into them."""
    return {name: _extended(job, document) for name, job in document.items() if not name.startswith(".")}


def _extended(job: Any, document: Mapping[str, Any]) -> Any:
    if not isinstance(job, dict) or "extends" not in job:
        return job
    below = _extended(document[job["extends"]], document)
    own = {key: value for key, value in job.items() if key != "extends"}
    both = {
        key: {**below[key], **own[key]} for key in own if isinstance(own[key], dict) and isinstance(below.get(key), dict)
    }
    return {**below, **own, **both}


def builds(pipeline: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of the spec that each job builds, by the job's name."""
    jobs = {name: job for name, job in pipeline.items() if name not in _NO_JOBS}
    hashes = {name: job.get("variables", {}).get("SPACK_JOB_SPEC_DAG_HASH") for name, job in jobs.items()}
    return {name: str(dag_hash) for name, dag_hash in hashes.items() if dag_hash}


def waits_for(pipeline: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return which builds each build waits for, directly or not, by hash; other jobs only pass needs on."""
    graph = {
        name: [need["job"] for need in job.get("needs", []) if "pipeline" not in need]
        for name, job in pipeline.items()
        if name not in _NO_JOBS
    }
    of = builds(pipeline)
    found: dict[str, set[str]] = {}

    def visit(name: str) -> set[str]:
        if name not in found:
            found[name] = set()
            found[name] = {each for need in graph[name] for each in {need, *visit(need)}}
        return found[name]

    return {of[name]: {of[each] for each in visit(name) if each in of} for name in of}


def put_index(server: Server, bucket: str, prefix: str, installs: Mapping[str, Any]) -> None:
    """Write an index, as Spack writes it, that lists these entries."""
    blob = json.dumps({"database": {"version": "8", "installs": installs}}).encode()
    checksum = hashlib.sha256(blob).hexdigest()
    data = {
        "contentLength": len(blob),
        "mediaType": "application/vnd.spack.db.v8+json",
        "compression": "none",
        "checksumAlgorithm": "sha256",
        "checksum": checksum,
    }
    client = server.client()
    client.put_object(Bucket=bucket, Key=f"{prefix}/blobs/sha256/{checksum[:2]}/{checksum}", Body=blob)
    manifest = json.dumps({"version": 3, "data": [data]}).encode()
    client.put_object(Bucket=bucket, Key=f"{prefix}/v3/manifests/index/index.manifest.json", Body=manifest)


def put_index_in_folder(folder: Path, installs: Mapping[str, Any]) -> None:
    """Write an index into a build cache in a folder."""
    blob = json.dumps({"database": {"version": "8", "installs": installs}}).encode()
    checksum = hashlib.sha256(blob).hexdigest()
    manifest = folder / "v3/manifests/index/index.manifest.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    data = {"contentLength": len(blob), "mediaType": "application/vnd.spack.db.v8+json", "compression": "none"}
    manifest.write_text(json.dumps({"version": 3, "data": [data | {"checksumAlgorithm": "sha256", "checksum": checksum}]}))
    path = folder / "blobs/sha256" / checksum[:2] / checksum
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)


def entries(lock: Path, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of an index for specs of a lock."""
    specs = json.loads(lock.read_text())["concrete_specs"]
    for dag_hash in wanted:
        yield dag_hash, {"spec": specs[dag_hash], "ref_count": 0, "in_buildcache": True}
