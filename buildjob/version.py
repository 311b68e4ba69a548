"""The version of this distribution, from the checkout's pyproject.toml or the installed metadata."""

import contextlib
import re
from pathlib import Path


def own_version() -> str:
    """Return the version; in a checkout that of pyproject.toml, marked with `+checkout`."""
    with contextlib.suppress(OSError):
        text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
        if found := re.search(r'^version = "([^"]+)"', text, re.MULTILINE):
            return f"{found[1]}+checkout"
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  15 ms that a checkout need not pay

    try:
        return version("spack-farm")
    except PackageNotFoundError:
        return "unknown"
