"""Clause: who may import whom outside the product, and how tests are named."""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT


def imported(path: Path) -> Iterator[str]:
    """Return the names of all modules that a file may import; `from a import b` gives both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # what runs in Spack's Python is found under another name there
            assert not node.level or "inside" in path.parts, f"{path}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(folder: str) -> list[Path]:
    found = [path for path in sorted((ROOT / folder).rglob("*.py")) if "data" not in path.relative_to(ROOT).parts[:2]]
    assert found
    return found


@pytest.mark.parametrize("folder", ["tests", "scripts"])
def test_nothing_imports_a_test_module_or_a_conftest(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(folder)
        for name in imported(path)
        if name.startswith("tests.") and any(part.startswith("test_") or part == "conftest" for part in name.split("."))
    ]
    assert wrong == []


def test_scripts_import_of_tests_only_the_labs() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("scripts")
        for name in imported(path)
        if name.partition(".")[0] == "tests" and name != "tests" and not f"{name}.".startswith("tests.labs.")
    ]
    assert wrong == []


def test_the_product_imports_nothing_of_tests_or_scripts() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in (
            "autoscaler",
            "buildjob",
            "executor",
            "ctest_xml",
            "delegate",
            "pipelines",
            "sizing",
            "spelling",
            "status_line",
        )
        for path in sources(folder)
        for name in imported(path)
        if name.partition(".")[0] in {"tests", "scripts"}
    ]
    assert wrong == []


def test_no_two_tests_have_one_name_and_no_name_is_longer_than_95_characters() -> None:
    """docs/contract.md, `-k` and reports name a test by its name alone."""
    names = collections.Counter(
        node.name
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name in names if len(name) > 95] == []
