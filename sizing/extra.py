"""The extra that installs what sizing imports; what to do where it is not installed."""

EXTRA = "sizing"
PACKAGES = frozenset({"alembic", "boto3", "botocore", "kubernetes", "psycopg", "sqlalchemy", "urllib3"})


def advice(error: BaseException) -> str:
    """Return one line on how to install the package that an import did not find; empty for any other error."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in PACKAGES:
        return ""
    return f"the Python package '{package}' is not installed; it comes with an extra: pip install 'spack-farm[{EXTRA}]'"
