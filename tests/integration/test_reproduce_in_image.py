"""`--reproduce` builds a run again in its job's image: with a program that speaks as much of podman as is used."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.spack.lab import SpackLab, read_telemetry
from tests.labs.waiting import wait_until

pytestmark = pytest.mark.spack
IMAGE = "registry.example/build@sha256:" + "0f" * 32
ENGINE = """#!/bin/sh
echo "$*" >> "$ENGINE_LOG"
case $1 in
  info) echo "Cannot connect to the server" >&2; exit "${ENGINE_INFO:-0}";;
  run) shift;;
  *) exit 125;;
esac
test -z "$ENGINE_RUN" || exit "$ENGINE_RUN"
while [ $# -gt 0 ]; do
  case $1 in
    --rm|--interactive) shift;;
    --env) export "$2"; shift 2;;
    --entrypoint) program=$2; shift 2;;
    -*) exit 125;;
    *) shift; break;;
  esac
done
exec "$program" "$@"
"""


class Machine:
    """A machine with a container engine; its containers see what the machine has."""

    def __init__(self, lab: SpackLab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        programs = folder / "bin"
        programs.mkdir()
        farm = f'#!/bin/sh\nexec {sys.executable} {ROOT}/spack_farm/__main__.py "$@"\n'
        for name, text in {"podman": ENGINE, "spack-farm": farm}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.log = folder / "engine.log"
        self.variables = {"PATH": f"{programs}:{os.environ['PATH']}", "ENGINE_LOG": str(self.log)}

    def argv(self, run: Path, *words: str | Path) -> list[str]:
        """Return the command line without the laboratory's configuration: the run brings its own."""
        return [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "--reproduce", str(run), *map(str, words)]

    def reproduce(self, *words: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.argv(self.folder / "out", *words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=self.lab.environment | self.variables | variables, cwd=self.folder, timeout=100, check=False,
        )  # fmt: skip


@pytest.fixture
def machine(lab: SpackLab, tmp_path: Path) -> Machine:
    given = {
        "CI_JOB_ID": "7",
        "CI_JOB_IMAGE": "registry.example/build:1",
        "SPACK_FARM_IMAGE_DIGEST": IMAGE,
        "MAKEFLAGS": "-k",
    }
    done = lab.build("hello-broken", "--out", tmp_path / "out", environment=given)
    assert done.returncode == 1, done.stdout
    return Machine(lab, tmp_path)


def test_a_run_is_built_again_in_its_image(machine: Machine, tmp_path: Path) -> None:
    asked = machine.reproduce("--out", tmp_path / "again")
    assert asked.returncode == 2
    assert "give --yes" in asked.stderr
    assert machine.log.read_text() == "info\n", "nothing runs before the answer"
    for text in (IMAGE, "$MAKEFLAGS", "podman, in that image"):
        assert text in asked.stdout
    done = machine.reproduce("--yes", "--out", tmp_path / "again")
    assert done.returncode == 1, done.stdout + done.stderr
    ran = machine.log.read_text().splitlines()[2]
    assert ran.startswith("run --rm --interactive --env MAKEFLAGS=-k")
    assert f" --entrypoint /bin/sh {IMAGE} -c" in ran
    again = read_telemetry(tmp_path / "again", "hello-broken")
    first = read_telemetry(tmp_path / "out", "hello-broken")
    assert (again.spec.hash, again.first_error) == (first.spec.hash, first.first_error)
    assert f"its run folder: {tmp_path}/again/hello-broken-1.0-" in done.stdout


def test_what_goes_wrong_with_an_engine_is_named(machine: Machine, tmp_path: Path) -> None:
    out = ("--yes", "--out", tmp_path / "again")
    silent = machine.reproduce("--engine", "podman", *out, ENGINE_INFO="1")
    assert silent.returncode == 2
    assert "--engine podman: it does not answer: Cannot connect to the server" in silent.stderr
    absent = machine.reproduce("--engine", "nerdctl", *out, PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    assert absent.returncode == 2
    assert "--engine nerdctl: it is not on PATH" in absent.stderr
    unpulled = machine.reproduce(*out, ENGINE_RUN="125")
    assert unpulled.returncode == 4
    assert IMAGE in unpulled.stderr
    bare = machine.reproduce(*out, ENGINE_RUN="127")
    assert bare.returncode == 3
    assert "needs sh, tar and spack-farm" in bare.stderr
    publishing = machine.reproduce("--engine", "podman", "--mirror", tmp_path / "mirror", "--unsigned", *out)
    assert publishing.returncode == 2
    assert "--mirror has no effect in the job's image" in publishing.stderr
    assert not (tmp_path / "again").exists()


def test_a_build_in_an_image_can_be_stopped(machine: Machine, lab: SpackLab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    argv = lab.agent_argv("hello-gated", "--out", tmp_path / "gated")
    given = {"CI_JOB_ID": "7", "CI_JOB_IMAGE": IMAGE, "HELLO_GATE": str(gate)}
    lab.forget("hello-gated")
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=lab.environment | given) as first:
        wait_until((tmp_path / "gate.reached").exists)
        first.terminate()
    (tmp_path / "gate.reached").unlink()
    again = machine.argv(tmp_path / "gated", "--yes", "--out", tmp_path / "again")
    variables = lab.environment | machine.variables | {"HELLO_GATE": str(gate)}
    with subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables) as agent:
        wait_until((tmp_path / "gate.reached").exists)
        agent.send_signal(signal.SIGTERM)
        printed = agent.communicate()[0].decode("utf-8", "replace")
    assert agent.returncode == 128 + signal.SIGTERM, printed
    (document,) = (tmp_path / "again").glob("hello-gated-*/telemetry.json")
    assert json.loads(document.read_text())["outcome"] == "interrupted"
