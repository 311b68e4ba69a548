"""The version of this distribution. Knows the checkout's pyproject.toml and the installed metadata, nothing else."""

import contextlib
import re
from pathlib import Path


def own_version() -> str:
    """Return the version of this distribution; in a checkout what pyproject.toml says, marked as such."""
    with contextlib.suppress(OSError):
        text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
        if found := re.search(r'^version = "([^"]+)"', text, re.MULTILINE):
            return f"{found[1]}+checkout"
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  15 ms that a checkout need not pay

    try:
        return version("spack-farm")
    except PackageNotFoundError:
        return "unknown"
