"""Clause: `ctest_xml` is light: what hosts it pays only for what it uses (house style, section 8)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("lxml", "requests", "re2", "ssl", "argparse", "asyncio")


def loaded(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*sys.modules)"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return {name for name in HEAVY if name in result.stdout.split()}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import ctest_xml", set()),
        ("import ctest_xml.model, ctest_xml.naming", set()),
        ("import ctest_xml.check; ctest_xml.check.check(b'<Done/>')", set()),
        ("import ctest_xml.scan", set()),
        ("import ctest_xml.scan; list(ctest_xml.scan.scan([b'x\\n']))", {"re2"}),
        ("import ctest_xml.write", {"lxml"}),
        ("import ctest_xml.__main__", {"argparse"}),
        ("import ctest_xml.cli_check", {"argparse"}),
        ("import ctest_xml.cli_convert", {"argparse", "lxml"}),
    ],
)
def test_an_import_loads_no_more_than_it_needs(code: str, heavy: set[str]) -> None:
    assert loaded(code) == heavy


def test_without_the_wheel_of_re2_the_scan_works() -> None:
    hide = "import sys; sys.modules['re2'] = None; import ctest_xml.scan as s"
    assert not loaded(f"{hide}; assert len(list(s.scan([b'a.c:1: error: x\\n']))) == 1; del sys.modules['re2']")
