"""What a job costs: `spack-farm build --ci` beside `spack ci rebuild` on the example package, with tests, from S3.

Both run the same job of the pipeline that real `spack ci generate` writes, with a fresh install tree; dependencies are in
the build cache, the binary is deleted from there before each. Rounds are interleaved. CPU is of the whole tree of processes.
What both leave in the artifacts is compared by name.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from buildjob.paths import from_environment
from buildjob.spack.find import find
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server, versitygw
from tests.labs.spack.lab import SpackLab
from tests.labs.spack.pipeline import PipelineProject

_PACKAGE = "hello-app"
_ROUNDS = (5, 2)
_ALLOWED = 0.5


def measure(run: Callable[[], "subprocess.CompletedProcess[str]"]) -> dict[str, float]:
    """Return wall and CPU seconds of a job that ends well."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = run()
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"bench ci: a job ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def forget(server: Server, bucket: str) -> None:
    """Delete the package's manifests from the build cache, so that the next job builds it."""
    client = server.client()
    for found in client.list_objects_v2(Bucket=bucket, Prefix=f"farm/v3/manifests/spec/{_PACKAGE}/").get("Contents", []):
        client.delete_object(Bucket=bucket, Key=found["Key"])


def artifacts(project: PipelineProject) -> set[str]:
    """Return the names of the files that a job leaves in the folders that GitLab keeps of both."""
    kept = ("logs", "reproduction", "tests")
    return {str(path.relative_to(project.artifacts)) for name in kept for path in (project.artifacts / name).rglob("*.*")}


def main() -> int:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench ci")
    parser.add_argument("--quick", action="store_true")
    rounds = _ROUNDS[parser.parse_args().quick]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = subprocess.run([ROOT / "scripts/get-s3"], check=True, capture_output=True, text=True).stdout.strip()
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory(prefix="bench-ci-") as scratch, versitygw(Path(program), Path(scratch)) as server:
        folder = Path(scratch)
        (folder / "lab").mkdir()
        lab = SpackLab(folder / "lab", find("", variables, from_environment(variables)))
        bucket = server.bucket()
        destination = {
            "url": f"s3://{bucket}/farm",
            "endpoint_url": server.url,
            "access_pair": {"id": server.access_key, "secret_variable": "AWS_SECRET_ACCESS_KEY"},
            "signed": False,
        }
        project = PipelineProject(lab, folder / "project", specs=[_PACKAGE], destination=destination)
        project.environment |= server.environment
        project.generate()
        for package in project.jobs:
            if package != _PACKAGE:
                measure(partial(project.stock_rebuild, package))
        left: dict[str, set[str]] = {}
        for _ in range(rounds):
            for name, run in (("theirs", project.stock_rebuild), ("ours", project.rebuild)):
                forget(server, bucket)
                rows[name].append(measure(partial(run, _PACKAGE, "-j2", "--tests")))
                left[name] = artifacts(project)
    result = {
        name: {f"{key}_seconds": round(statistics.median(row[key] for row in some), 2) for key in ("wall", "cpu")}
        for name, some in rows.items()
    }
    ratio = round(result["ours"]["cpu_seconds"] / result["theirs"]["cpu_seconds"], 3)
    print(f"one job of {_PACKAGE}, medians of {rounds}:   wall s    CPU s")
    for name, title in (("theirs", "spack ci rebuild"), ("ours", "spack-farm build --ci")):
        print(f"  {title:<28} {result[name]['wall_seconds']:8.2f} {result[name]['cpu_seconds']:8.2f}")
    print(f"  CPU ours / theirs: {ratio} (at most {_ALLOWED})")
    for name in sorted(left["ours"] ^ left["theirs"]):
        print(f"  only {'ours' if name in left['ours'] else 'theirs'}: {name}")
    print(
        json.dumps(
            {
                "bench": "ci",
                "ours": result["ours"],
                "peers": {"spack ci rebuild": result["theirs"]},
                "ratios": {"cpu": ratio},
                "artifacts_only_ours": sorted(left["ours"] - left["theirs"]),
                "artifacts_only_theirs": sorted(left["theirs"] - left["ours"]),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
