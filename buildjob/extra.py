"""The extra that installs what the build agent imports; what to do where it is not installed, or broken."""

import importlib.util
import sys
from collections.abc import Iterable

EXTRA = "agent"
PACKAGES = frozenset({"boto3", "botocore", "gnupg", "lxml", "psutil", "requests", "urllib3"})
_NOT_INSTALLED_BY_PIP = sys.stdlib_module_names | {"buildjob", "ctest_xml", "executor", "sizing", "spack_farm"}


def advice(error: BaseException) -> str:
    """Return one line on how to install the package that an import did not find, or could not load.

    Empty for any other error, also for a module of our own or of Python's: that is a bug.
    """
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if not package or package in _NOT_INSTALLED_BY_PIP:
        return ""
    command = f"pip install 'spack-farm[{EXTRA}]'"
    if package in PACKAGES and isinstance(error, ModuleNotFoundError) and error.name == package:
        return f"the Python package '{package}' is not installed; it comes with an extra: {command}"
    reason = " ".join(str(error).split())[:200]
    again = command.replace("install", "install --force-reinstall", 1)
    return f"the Python package '{package}' can't be loaded: {reason}; install it again: {again}"


def missing(packages: Iterable[str]) -> list[str]:
    """Return those of the packages that are not installed, in the order of their names."""
    return [package for package in sorted(packages) if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ModuleNotFoundError, ValueError):  # by a hook of imports; half removed
        return False


def require(packages: Iterable[str]) -> None:
    """Raise ModuleNotFoundError for a package that is not installed: before hours of building instead of after them."""
    for package in missing(packages):
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)
