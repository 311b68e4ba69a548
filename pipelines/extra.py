"""The extra that installs what pipelines import; what to do where it is not installed."""

EXTRA = "pipelines"
PACKAGES = frozenset({"boto3", "botocore", "check_jsonschema", "yaml"})


def advice(error: BaseException) -> str:
    """Return one line on how to install the package that an import did not find; empty for any other error."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in PACKAGES:
        return ""
    return f"the Python package '{package}' is not installed; it comes with an extra: pip install 'spack-farm[{EXTRA}]'"
