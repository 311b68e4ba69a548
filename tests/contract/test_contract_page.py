"""Clause: docs/contract.md names tests that exist, some for each requirement."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/contract.md").read_text()
SECTIONS = dict(re.findall(r"^## (R\d+) .*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_has_every_requirement_in_order() -> None:
    assert list(SECTIONS) == [f"R{number}" for number in range(1, 20)]


@pytest.mark.parametrize("requirement", SECTIONS)
def test_the_tests_that_the_page_names_for_a_requirement_exist(requirement: str) -> None:
    named = re.findall(r"^- `([^`]+)`:((?:\s+`\w+`,?)+)$", SECTIONS[requirement], re.MULTILINE)
    assert len(named) == SECTIONS[requirement].count("\n- ")
    assert named
    for path, names in named:
        tree = ast.parse((ROOT / "tests" / path).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        missing = [name for name in re.findall(r"`(\w+)`", names) if f"test_{name}" not in found]
        assert not missing, path
