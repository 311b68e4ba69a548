"""What the page prints under "Reproduce" runs as printed, in the run folder, on real Spack, wherever the folder lies."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.html_reader import read_html
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, other_tree, read_telemetry
from tests.labs.spack.project import RECIPE, Project

pytestmark = pytest.mark.spack

_SECRETS = ("s3cr3t-password", "s3cr3t-key", "s3cr3t-query", "s3cr3t-token")
_FIRST_ERROR = "error: expected ',' or ';' before 'printf'"


class Elsewhere:
    """A shell of another user, in a copy of a run folder, who has nothing but `spack-farm` and `spack` on PATH."""

    def __init__(self, lab: SpackLab, run_folder: Path, folder: Path) -> None:
        self.folder = Path(shutil.copytree(run_folder, folder / "a copy of it"))
        programs = folder / "bin"
        programs.mkdir()
        for name, argv in {
            "spack-farm": (sys.executable, ROOT / "spack_farm/__main__.py"),
            "spack": (lab.spack.program,),
        }.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {" ".join(f"{word}" for word in argv)} "$@"\n')
            program.chmod(0o755)
        self._environment = {"HOME": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}

    def commands(self) -> list[str]:
        """Return the commands of the page, which are also those of the telemetry."""
        page = read_html((self.folder / "report.html").read_text("utf-8"))
        printed = page.one("pre", "commands").text()
        known = json.loads((self.folder / "telemetry.json").read_bytes())["reproduce"]["commands"]
        assert printed == "\n".join(known)
        return printed.splitlines()

    def run(self, commands: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run commands in the folder."""
        return subprocess.run(
            ["/bin/sh", "-c", "\n".join(commands)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self._environment,
            cwd=self.folder, timeout=100, check=False,
        )  # fmt: skip

    def run_one_way(self, way: str) -> subprocess.CompletedProcess[str]:
        """Run what is printed with spack-farm, or with Spack alone."""
        commands = self.commands()
        ours = [line for line in commands if line.startswith("spack-farm build")]
        stock = [line for line in commands if line.startswith('"$spack" -E')]
        assert len(ours) == len(stock) == 1, commands
        if way == "ours":
            return self.run(commands[: commands.index(ours[0]) + 1])
        return self.run([line for line in commands if line not in ours])


def _texts(folder: Path) -> str:
    return "".join(path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


def test_a_broken_package_of_an_own_repository_breaks_again_without_repository_and_scope(
    lab: SpackLab, tmp_path: Path, key: Key
) -> None:
    scope = tmp_path / "scope"
    scope.mkdir()
    repository = shutil.copytree(
        ROOT / "examples/spack_repo/spack_farm_examples", tmp_path / "spack_repo/spack_farm_examples"
    )
    (scope / "repos.yaml").write_text(json.dumps({"repos": {"spack_farm_examples": str(repository)}}))
    mirrors = {
        "user": {"url": "https://user:s3cr3t-password@127.0.0.1:9/m?sig=s3cr3t-query", "binary": False},
        "pair": {
            "url": "s3://pair",
            "access_pair": {"id": "s3cr3t-key", "secret_variable": "MY_API_KEY"},
            "source": False,
            "binary": False,
        },
        "token": {"url": "s3://token", "access_token_variable": "MY_TOKEN", "source": False, "binary": False},
        "signed": {"url": str(tmp_path / "signed"), "source": False, "signed": True},
    }
    (scope / "mirrors.yaml").write_text(json.dumps({"mirrors": mirrors}))
    (scope / "config.yaml").write_text(
        json.dumps({"config": {"url_fetch_method": "urllib", "flags": {"keep_werror": "all"}}})
    )
    variables = {"MY_TOKEN": "s3cr3t-token", "MAKEFLAGS": "-k", "MY_API_KEY": "s3cr3t-key"}
    done = lab.build(
        "hello-broken cflags='-O1 -g'", "-C", scope, "--out", tmp_path / "out", "--trust", key.public, "-j3",
        environment=variables,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    (folder,) = (tmp_path / "out").glob("hello-broken-*")
    assert [secret for secret in _SECRETS if secret in _texts(folder) + done.stdout] == []
    shutil.rmtree(tmp_path / "scope")
    shutil.rmtree(tmp_path / "spack_repo")
    other = Elsewhere(lab, folder, tmp_path)
    printed = "\n".join(other.commands())
    assert printed in done.stdout, "the end of the job's log"
    for text in (
        ", commit ",
        "mirror sources: file://",
        "mirror pair: its credentials",
        "export MAKEFLAGS=-k",
        " -j3 ",
    ):
        assert text in printed
    assert json.loads((folder / "reproduce/mirrors.yaml").read_text())["mirrors:"]["signed"]["signed"] is True
    assert b"PUBLIC KEY" in (folder / "reproduce/keys.asc").read_bytes()
    for again in map(other.run_one_way, ("ours", "stock")):
        assert again.returncode == 1, again.stdout + again.stderr
        assert _FIRST_ERROR in again.stdout + again.stderr
    told = read_telemetry(other.folder / "spack-farm-out", "hello-broken")
    first = read_telemetry(tmp_path / "out", "hello-broken")
    assert (told.spec.hash, told.first_error) == (first.spec.hash, first.first_error)


def test_a_package_of_an_environment_is_built_again_without_the_environment(lab: SpackLab, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    recipe = folder / "spack_repo/mine/packages/low_thing/package.py"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(RECIPE.format(name="LowThing", more=""))
    (folder / "spack_repo/mine/repo.yaml").write_text("repo: {namespace: mine, api: v2.2}\n")
    project = Project(lab, folder)
    project.write(specs=["low-thing"], config={"install_tree": {"root": "./tree", "padded_length": 128}})
    project.spack("-e", folder, "concretize")
    done = project.build(folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (run_folder,) = (tmp_path / "out").glob("low-thing-*")
    shutil.rmtree(folder)
    for way in ("ours", "stock"):
        (tmp_path / way).mkdir()
    ours, stock = (Elsewhere(lab, run_folder, tmp_path / way) for way in ("ours", "stock"))
    again = ours.run_one_way("ours")
    assert again.returncode == 0, again.stdout + again.stderr
    assert read_telemetry(ours.folder / "spack-farm-out", "low-thing").outcome == "built"
    (made,) = folder.glob("tree/**/made")
    assert len(str(made)) > 128, "its install tree is padded as it was"
    shutil.rmtree(folder)
    again = stock.run_one_way("stock")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Successfully installed low-thing-1.0" in again.stdout + again.stderr


def test_on_another_machine_its_install_tree_is_that_of_the_spack_there(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("hello-broken", "--out", tmp_path / "out")
    assert done.returncode == 1
    (folder,) = (tmp_path / "out").glob("hello-broken-*")
    include = folder / "reproduce/include.yaml"
    include.write_text(include.read_text().replace(f"'{os.uname().nodename}'", "'another'"))
    there = other_tree(tmp_path, tmp_path / "nowhere")
    asked = lab.stock_spack("-C", folder / "reproduce", "config", "get", "config", scopes=[there])
    assert f"root: {tmp_path / 'opt'}" in asked.stdout
    alone = subprocess.run(
        [lab.spack.program, "-C", folder / "reproduce", "config", "get", "config"],
        capture_output=True, text=True, env=lab.environment, check=True,
    )  # fmt: skip
    assert "root: $spack/opt/spack" in alone.stdout
    assert str(lab.folder) not in alone.stdout


def test_a_concrete_spec_file_and_a_version_from_git_are_built_again(lab: SpackLab, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-C", str(repository)]
    subprocess.run(["git", "init", "-q", "-b", "feature/foo", repository], check=True)
    (repository / "content").write_text("from git\n")
    subprocess.run([*git, "add", "content"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    variables = {"HELLO_GIT": repository.as_uri()}
    shown = lab.stock_spack("spec", "--json", "hello-git@git.feature/foo=1.0", environment=variables)
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "odd name's.json").write_text(shown.stdout)
    done = lab.build(tmp_path / "odd name's.json", "--out", tmp_path / "out", environment=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "out").glob("hello-git-*")
    lab.forget("hello-git")
    other = Elsewhere(lab, folder, tmp_path)
    again = other.run([f"export HELLO_GIT={repository.as_uri()}", *other.commands()])
    assert again.returncode == 0, again.stdout + again.stderr
    assert read_telemetry(other.folder / "spack-farm-out", "hello-git").outcome == "built"


@pytest.mark.parametrize(
    "command",
    [
        'echo "it\'s" \'a "quoted" $word\' `echo tick` && test "$CFLAGS" = \'-O1 -g\'',
        "cat <<'END'\nfirst line\n\n  second $HOME\nEND\nexit 7",
        "printf '%s|' 'a\tb' 'c\x1b[31md' 'e\u202ef' 'ä\\n' '%d'; exit 7",
    ],
)
def test_a_command_build_runs_again_as_it_was(lab: SpackLab, tmp_path: Path, command: str) -> None:
    sources = tmp_path / "source's folder"
    sources.mkdir()
    farm = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*farm, "--command", command, "--name", "thing", "--version", "1"],
        capture_output=True, text=True, cwd=sources, env=lab.environment | {"CFLAGS": "-O1 -g"}, check=False,
    )  # fmt: skip
    folder = tmp_path / "out/thing-1"
    other = Elsewhere(lab, folder, tmp_path)
    page = "\n".join(other.commands())
    ours, _, alone = page.partition("\n# or without measuring it:\n")
    again = other.run([ours])
    assert again.returncode == done.returncode
    assert (sources / "spack-farm-out/thing-1/build.log").read_bytes() == (folder / "build.log").read_bytes()
    exports = [line for line in page.splitlines() if line.startswith("export ")]
    assert other.run([*exports, alone]).stdout == (folder / "build.log").read_text()
