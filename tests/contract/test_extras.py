"""Clause: a verb whose extra is not installed says in one line which extra, with exit code 2 and no traceback."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import buildjob.extra
import ctest_xml.extra
import delegate.extra
import executor.extra
import pipelines.extra
import sizing.extra
from buildjob.cli.doctor_checks import EXTRAS
from spack_farm.__main__ import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = {
    "python-gnupg": "gnupg",
    "google-re2": "re2",
    "PyYAML": "yaml",
    "websocket-client": "websocket",
    "argparse-manpage": "argparse_manpage",
    "check-jsonschema": "check_jsonschema",
    "prometheus-client": "prometheus_client",
    "SQLAlchemy": "sqlalchemy",
}
"""Distribution -> the module that it installs, where their names differ."""
COMMAND = ["-m", "spack_farm", "build", "--command", "true", "--name", "x", "--version", "1"]
_BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def started(
    folder: Path, argv: list[str], *absent: str, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python in which some packages cannot be imported."""
    (folder / "sitecustomize.py").write_text(_BLOCKER.format(absent=set(absent)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{folder}:{ROOT}"} | variables
    return subprocess.run(
        [sys.executable, *argv], cwd=folder, env=environment, capture_output=True, text=True, check=False, input=given
    )


@pytest.mark.parametrize(
    ("argv", "absent", "extra"),
    [
        (["-m", "spack_farm", "build", "zlib"], "psutil", "agent"),
        ([*COMMAND, "--telemetry-mirror", "s3://bucket/prefix"], "boto3", "agent"),
        (["-m", "spack_farm", "build", "zlib", "--mirror", "s3://bucket/prefix", "--unsigned"], "botocore", "agent"),
        (["-m", "spack_farm", "build", "zlib", "--trust", "log"], "gnupg", "agent"),
        (["-m", "buildjob", "--command", "true", "--name", "x", "--version", "1"], "lxml", "agent"),
        (["-m", "spack_farm", "publish", "ls", "s3://bucket/prefix"], "boto3", "agent"),
        (["-m", "spack_farm", "publish", "ls", "s3://bucket/prefix"], "botocore", "agent"),
        (["-m", "spack_farm", "ctest", "convert", "log"], "lxml", "ctest"),
        (["-m", "ctest_xml", "submit", ".", "--url", "http://127.0.0.1:1", "--project", "p"], "requests", "ctest"),
        (["-m", "spack_farm", "sizing", "ingest", "."], "sqlalchemy", "sizing"),
        (["-m", "spack_farm", "delegate", "gateway"], "starlette", "delegate"),
        (["-m", "delegate", "gateway"], "prometheus_client", "delegate"),
        (["-m", "sizing", "ingest", "s3://bucket/prefix"], "boto3", "sizing"),
        (["-m", "spack_farm", "completion", "bash"], "shtab", "completion"),
        (["-m", "spack_farm", "man"], "argparse_manpage", "completion"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(
    argv: list[str], absent: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("x.c:1: error: no\n")
    (tmp_path / "Build.xml").write_text("<Site/>")
    done = started(tmp_path, argv, absent)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert (done.returncode, len(said)) == (2, 1)
    assert not done.stdout, "an error is not output"
    assert f"'{absent}' is not installed" in said[0]
    assert f"pip install 'spack-farm[{extra}]'" in said[0]


def test_a_command_is_run_without_what_only_mirrors_need(tmp_path: Path) -> None:
    done = started(
        tmp_path, COMMAND, "boto3", "botocore", "gnupg", "kubernetes", "requests", "shtab", "urllib3", "websocket"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
    assert (tmp_path / "spack-farm-out/x-1/cdash/Build.xml").exists()


@pytest.mark.parametrize("program", [["-m", "spack_farm", "executor"], ["-m", "executor"]])
@pytest.mark.parametrize(("verb", "absent"), [("prepare", "yaml"), ("run", "websocket")])
def test_a_missing_package_of_the_driver_is_a_system_failure(
    program: list[str], verb: str, absent: str, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[kubernetes]\nkubeconfig = "{tmp_path}/kubeconfig"\nimage = "x"\nnamespace = "n"\n')
    (tmp_path / "kubeconfig").write_text("{}")
    (tmp_path / "response.json").write_text(json.dumps({"id": 1}))
    words = [str(tmp_path / "script"), "build_script"] if verb == "run" else []
    done = started(
        tmp_path,
        [*program, verb, f"--config={settings}", *words],
        absent,
        SPACK_FARM_EXECUTOR_WARM="no",
        SYSTEM_FAILURE_EXIT_CODE="5",
        TMPDIR=str(tmp_path),
        JOB_RESPONSE_FILE=str(tmp_path / "response.json"),
    )
    assert done.returncode == 5
    assert done.stdout.count("\n") == 1
    assert f"'{absent}' is not installed" in done.stdout
    assert "pip install 'spack-farm[driver]'" in done.stdout


PRESTARTED = ["-m", "spack_farm", "publish", "push", "u", "s3://bucket/prefix", "--prestarted", "--json"]


@pytest.mark.parametrize("absent", ["boto3", "gnupg"])
def test_a_prestarted_push_that_cannot_load_a_package_says_it_in_one_line(absent: str, tmp_path: Path) -> None:
    done = started(tmp_path, PRESTARTED, absent)
    failure = json.loads(done.stdout)
    assert (done.returncode, failure["outcome"]) == (2, "bad_request")
    assert f"'{absent}' is not installed" in failure["error"]
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "text", "reason"),
    [
        ("boto3.py", "import jmespath_of_no_version", "No module named 'jmespath_of_no_version'"),
        ("boto3.py", "raise ImportError('libx.so: cannot open shared object file', name='boto3')", "libx.so: cannot open"),
        ("gnupg.py", "from boto3 import no_such_name", "cannot import name 'no_such_name'"),
    ],
)
def test_a_package_that_is_broken_is_named_with_what_to_do(module: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / module).write_text(text)
    done = started(tmp_path, PRESTARTED)
    failure = json.loads(done.stdout)
    assert (done.returncode, failure["outcome"]) == (2, "bad_request")
    assert reason in failure["error"]
    assert "pip install --force-reinstall 'spack-farm[agent]'" in failure["error"]
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("line", ["", '{"environment": {"A=B": "x"}}\n'])
def test_a_prestarted_push_takes_one_environment_or_none(line: str, tmp_path: Path) -> None:
    done = started(tmp_path, [*PRESTARTED, "--unsigned"], given=line)
    assert done.returncode == (2 if line else 0)
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == bool(line)


def test_doctor_names_each_missing_extra_of_each_verb(tmp_path: Path) -> None:
    every = {module for extra in PROJECT["optional-dependencies"] for module in modules_of(extra)}
    done = started(tmp_path, ["-m", "spack_farm", "doctor", "--mirror", "s3://bucket/prefix"], *every, "botocore")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    found = {
        line.partition(":")[0]: lines[number + 1].strip()
        for number, line in enumerate(lines)
        if "not installed" in line and "mirror" not in line
    }
    assert found == {
        "FIX   spack-farm build, publish": "pip install 'spack-farm[agent]'",
        "note  spack-farm ctest": "pip install 'spack-farm[ctest]'",
        "note  spack-farm executor": "pip install 'spack-farm[driver]'",
        "note  spack-farm sizing": "pip install 'spack-farm[sizing]'",
        "note  spack-farm pipelines": "pip install 'spack-farm[pipelines]'",
        "note  spack-farm autoscaler": "pip install 'spack-farm[autoscaler]'",
        "note  spack-farm delegate": "pip install 'spack-farm[delegate]'",
        "note  spack-farm completion, man": "pip install 'spack-farm[completion]'",
    }
    assert "FIX   mirror s3://bucket/prefix: not checked: the Python package 'boto" in done.stdout


def test_doctor_knows_what_each_extra_brings() -> None:
    extras = {name for name in PROJECT["optional-dependencies"] if name != "all"}
    assert {name: set(extra.packages) for name, extra in EXTRAS.items()} == {name: set(modules_of(name)) for name in extras}


@pytest.mark.parametrize(
    "verb", ["autoscaler", "build", "ctest", "delegate", "executor", "pipelines", "publish", "sizing", "doctor"]
)
def test_help_needs_no_extra(verb: str, tmp_path: Path) -> None:
    every = {*MODULES.values(), "boto3", "botocore", "kubernetes", "lxml", "psutil", "requests", "shtab", "alembic"}
    every |= {"prometheus_client", "starlette", "uvicorn"}
    done = started(tmp_path, ["-m", "spack_farm", verb, "--help"], *every)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_of_our_own_that_is_missing_stays_a_bug() -> None:
    assert buildjob.extra.advice(ModuleNotFoundError(name="buildjob.no_such_module")) == ""
    assert buildjob.extra.advice(ValueError()) == ""


@pytest.mark.parametrize(
    "part",
    [buildjob.extra, ctest_xml.extra, delegate.extra, executor.extra, pipelines.extra, sizing.extra],
    ids=lambda part: part.EXTRA,
)
def test_each_part_names_what_it_imports_and_its_extra_brings_that(part: ModuleType) -> None:
    brought = set(modules_of(part.EXTRA))
    folder = Path(str(part.__file__)).parent
    imported = {name for path in folder.rglob("*.py") if "inside" not in path.parts for name in third_party(path)}
    optional = {"re2"}  # the standard library does its work where it is missing
    assert imported - {"msgspec"} - optional <= part.PACKAGES
    assert brought | {"botocore", "urllib3"} >= part.PACKAGES  # boto3 and requests bring these


def test_all_is_the_sum_of_the_extras() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(modules_of("all")) == {module for extra in extras for module in modules_of(extra)}


def modules_of(extra: str) -> Iterator[str]:
    for line in PROJECT["optional-dependencies"][extra]:
        if own := re.fullmatch(r"spack-farm\[(.+)\]", line):
            for included in own[1].split(","):
                yield from modules_of(included)
        else:
            name = re.split(r"[<>=\[]", line)[0]
            yield MODULES.get(name, name)


def third_party(path: Path) -> Iterator[str]:
    """Yield the packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names | set(FOLDERS):
                yield top
