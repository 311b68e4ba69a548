"""Concrete specs as Spack answers them: what was asked for, and the graph that comes back. Values only; starts nothing."""

import msgspec


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency of a node."""

    name: str
    version: str
    hash: str
    types: list[str]
    """build, link, run, test."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One concrete spec."""

    hash: str
    name: str
    version: str
    namespace: str
    spec_file: str
    prefix: str
    external: bool
    installed: bool
    binary: str
    """`available` (a build cache has it, signature trusted), `untrusted` or empty."""
    architecture: str
    compiler: str
    variants: dict[str, str | bool | list[str]]
    dependencies: list[Edge]

    @property
    def title(self) -> str:
        """`name@version/hash7`, as people write it."""
        return f"{self.name}@{self.version}/{self.hash[:7]}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to concretize, or to read concrete from files."""

    specs: list[str] = []
    spec_files: list[str] = []
    environment: str = ""
    hash: str = ""
    fresh: bool = False


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """A binary mirror of Spack's configuration."""

    name: str
    url: str
    signed: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `inside/plan.py` answers."""

    environment: str
    """The folder of the environment that was named; empty if none was."""
    external_roots: list[str]
    """What was asked for and is not to be built, each in a sentence."""
    roots: list[str]
    """Hashes; at least one."""
    nodes: list[Node]
    mirrors: list[Mirror]
    secret_variables: list[str]
    store_root: str
    stage_root: str
    spack_version: str
    spack_commit: str
    packages_commit: str
    build_jobs: int
