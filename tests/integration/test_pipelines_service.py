"""The generator behind the delegating web server, as docs/pipelines.md sets it up: a real Spack is the worker's command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from buildjob.spack.find import SpackInstallation
from tests.labs.checkout import ROOT
from tests.labs.delegate import WORKER, Program, kill_group_of, running_gateway
from tests.labs.pipelines import Generators, Run, builds, entries, put_index_in_folder
from tests.labs.spack.lab import SpackLab

pytestmark = [pytest.mark.spack, pytest.mark.timeout(300)]

INSIDE = ROOT / "pipelines/inside"
GENERATE = 'exec "$SPACK_ROOT/bin/spack" -C "$1" -C "$2" python "$3"'


def run(generators: Generators, *words: str | Path) -> Run:
    """Run a verb of spack-farm in the lab's folder; it has to succeed."""
    done = generators.farm(*words)
    assert done.code == 0, done.output
    return done


def test_a_pipeline_comes_from_a_worker_and_what_was_pushed_since_gets_another_address(
    spack: SpackInstallation, tmp_path: Path
) -> None:
    generators = Generators(SpackLab(tmp_path, spack), tmp_path)
    generators.write()
    assert generators.spack("-e", generators.environment_folder, "concretize").code == 0
    scopes = [generators.lab.scope, tmp_path / "mirrors"]
    fingerprint = " ".join(map(str, [sys.executable, INSIDE / "fingerprint.py", *scopes]))
    command: list[str | Path] = ["/bin/sh", "-c", GENERATE, "generate", *scopes, INSIDE / "generate.py"]
    with running_gateway(tmp_path) as gateway:
        argv: list[str | Path] = [
            sys.executable,
            WORKER,
            "--socket",
            gateway.socket,
            "--fingerprint",
            fingerprint,
            "--",
            *command,
        ]
        worker = Program(argv, tmp_path, **generators.lab.environment)
        try:
            gateway.until_ready()
            asked = run(generators, "pipelines", "generate", "environment", "--print-request", "--mirror", generators.mirror)
            request = asked.output.encode()
            (tmp_path / "request.json").write_bytes(request)

            def generate() -> tuple[str, set[str]]:
                files = ("--input", "request.json", "--output", "answer.json")
                run(generators, "delegate", "call", f"{gateway.url}/v1/run", *files)
                run(generators, "pipelines", "generate", "--answer", "answer.json")
                address = gateway.run(request).headers["location"]
                return address, set(builds(generators.pipeline()).values())

            address, built = generate()
            assert len(built) == 5
            assert gateway.run(request).headers["location"] == address
            lock = json.loads((generators.environment_folder / "spack.lock").read_text())["concrete_specs"]
            (pushed,) = (key for key, spec in lock.items() if spec["name"] == "libhello")
            put_index_in_folder(tmp_path / "mirror", dict(entries(generators.environment_folder / "spack.lock", [pushed])))
            later, left = generate()
            assert later != address
            assert left == built - {pushed}
        finally:
            kill_group_of(worker)


def test_a_fingerprint_without_a_spack_is_none(tmp_path: Path) -> None:
    argv: list[str | Path] = [sys.executable, INSIDE / "fingerprint.py"]
    found: dict[str, bytes] = {}
    for name in ("one", "two"):
        (tmp_path / name / "lib/spack").mkdir(parents=True)
        (tmp_path / name / "bin").mkdir()
        (tmp_path / name / "bin/spack").write_text("#!/bin/sh\n")
        (tmp_path / name / "bin/spack").chmod(0o755)
        (tmp_path / name / "etc/spack").mkdir(parents=True)
        (tmp_path / name / "etc/spack/config.yaml").write_text(f"config: {{build_jobs: {len(found) + 1}}}\n")
        path = {"PATH": str(tmp_path / name / "bin"), "HOME": str(tmp_path)}
        done = subprocess.run(argv, input=b"{}", capture_output=True, env=path, check=True)
        found[name] = done.stdout
    assert len(set(found.values())) == 2
    none = subprocess.run(argv, input=b"{}", capture_output=True, env={"PATH": str(tmp_path), "HOME": "/"}, check=False)
    assert (none.returncode, none.stdout) == (3, b"")
    assert b"SPACK_ROOT" in none.stderr
