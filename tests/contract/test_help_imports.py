"""Clause: `--help` is printed at once. What it loads is what it costs: lists do not flake, milliseconds do."""

import subprocess
import sys

import pytest

from tests.labs.checkout import ROOT

HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "gnupg",
    "kubernetes",
    "lxml",
    "msgspec",
    "psutil",
    "re2",
    "requests",
    "sqlalchemy",
    "ssl",
    "yaml",
}
_CODE = """
import runpy, sys
sys.argv = ["spack-farm", *sys.argv[1:]]
try:
    runpy.run_path({program!r}, run_name="__main__")
finally:
    sys.stderr.write("\\n".join(sys.modules))
"""


def loaded(*words: str) -> set[str]:
    argv = [sys.executable, "-I", "-c", _CODE.format(program=str(ROOT / "spack_farm/__main__.py")), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: spack-farm")
    return set(done.stderr.splitlines())


def test_the_list_of_verbs_loads_no_verb_and_no_parser() -> None:
    assert not loaded("--help") & (HEAVY | {"argparse", "buildjob.cli", "executor.driver"})


@pytest.mark.parametrize(
    "verb", ["autoscaler", "build", "ctest", "delegate", "doctor", "executor", "pipelines", "publish", "report", "sizing"]
)
def test_the_help_of_a_verb_loads_no_library_for_its_work(verb: str) -> None:
    assert not loaded(verb, "--help") & HEAVY
