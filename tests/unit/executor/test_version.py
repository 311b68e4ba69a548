import tomllib
from pathlib import Path

from executor.version import VERSION

PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"


def test_the_constant_is_the_distributions_version() -> None:
    assert tomllib.loads(PYPROJECT.read_text())["project"]["version"] == VERSION
