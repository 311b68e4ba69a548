"""What Spack answers about one job: its concretization and configuration, and what the mirrors have of it. Values only."""

from typing import Literal

import msgspec

from buildjob.spack.concrete import Concretization


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """The mirror that binaries are pushed to, and how to reach it. It holds names of variables, no credentials."""

    url: str
    signed: bool
    """Its users check signatures."""
    endpoint_url: str = ""
    profile: str = ""
    id: str = ""
    id_variable: str = ""
    secret_variable: str = ""
    token_variable: str = ""


class CDashSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section `cdash` of Spack's configuration; empty texts if there is none."""

    url: str = ""
    project: str = ""
    site: str = ""
    group: str = ""


class JobConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """What a job takes from Spack's configuration."""

    destination: Destination
    cdash: CDashSection = CDashSection()
    broken_specs_url: str = ""
    broken_tests: list[str] = []
    """Packages whose stand-alone tests are not run."""
    verify_ssl: bool = True


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency that could not be installed from the mirrors."""

    hash: str
    state: Literal["available", "untrusted", ""]
    """`available`: a mirror has it, and yet it could not be installed."""


class Rebuild(Concretization, msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    ci: JobConfiguration
    has_tests: bool = True
    """The package may have stand-alone tests."""
    test_id: str = ""
    """How Spack names the package in files of tests."""
    archived: list[str] = []
    """The files below the stage folder that the recipe wants to be kept beside the log, as patterns."""
    up_to_date: list[str] = []
    """The mirrors that have the job's spec already."""
    fetched: list[str] = []
    """DAG hashes of the dependencies that were installed from the mirrors."""
    missing: list[Missing] = []
    fetch_error: str = ""
    is_broken: bool = False
    """The list of broken specs has the job's spec."""


class StandaloneTest(msgspec.Struct, frozen=True, kw_only=True):
    """A stand-alone test of an installed package."""

    name: str
    status: str
    """passed, failed, skipped, notrun."""
    seconds: float = 0.0
    command: str = ""
    output: str = ""


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a package's stand-alone tests."""

    log: str
    """The file that Spack wrote; it need not exist."""
    tests: list[StandaloneTest] = []
    fault: str = ""
    """Why they were not run to their end; empty if they were."""
