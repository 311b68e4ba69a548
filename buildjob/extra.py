"""The extra that installs what the build agent imports; what to do where it is not installed."""

import importlib.util
from collections.abc import Iterable

EXTRA = "agent"
PACKAGES = frozenset({"boto3", "botocore", "gnupg", "lxml", "psutil", "requests", "urllib3"})


def advice(error: BaseException) -> str:
    """Return one line on how to install the package that an import did not find; empty for any other error."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in PACKAGES:
        return ""
    return f"the Python package '{package}' is not installed; it comes with an extra: pip install 'spack-farm[{EXTRA}]'"


def require(packages: Iterable[str]) -> None:
    """Raise ModuleNotFoundError for a package that is not installed: before hours of building instead of after them."""
    for package in sorted(packages):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)
