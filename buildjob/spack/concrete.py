"""What Spack is asked to concretize, and what it answers. Values only."""

from typing import Literal

import msgspec

from buildjob.spack.mirror_faults import MirrorFault


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A direct dependency of a concrete spec."""

    name: str
    version: str
    hash: str
    types: list[str]
    """build, link, run, test."""


class ConcreteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A spec with everything decided."""

    hash: str
    name: str
    version: str
    spec_file: str
    """A file that holds it as JSON."""
    prefix: str
    """Where it is installed, or would be."""
    stage_name: str
    """The name of the folder in which Spack unpacks and builds it."""
    external: bool
    """It is not Spack's to build: the system has it."""
    installed: bool
    outdated: bool = False
    """It is installed, but from sources in a developer's folder that have changed since."""
    is_explicit: bool = False
    """Spack's database is to say that a user asked for it; dependencies are implicit."""
    develop_folders: list[str] = []
    """The folders of `spack develop` that it or a dependency is built from; its hash does not say what they hold."""
    binary: str
    """`available` (a build cache has it, signature trusted), `untrusted` or empty."""
    architecture: str
    compiler: str
    variants: dict[str, str | bool | list[str]]
    dependencies: list[Edge]
    namespace: str = ""
    """Of the package repository with its recipe."""
    recipe: str = ""
    """The name of its recipe's folder; empty if no repository has the recipe."""
    unfetchable: str = ""
    """Why Spack can never get its source; empty if it can, or if that is not known before the build."""

    @property
    def is_there(self) -> bool:
        """Nothing has to be done before others can use it."""
        return self.external or (self.installed and not self.outdated)

    @property
    def build_needs(self) -> list[Edge]:
        """The dependencies that a build from source needs: all but those that only tests need, which are not run."""
        return [edge for edge in self.dependencies if edge.types != ["test"]]

    @property
    def binary_needs(self) -> list[Edge]:
        """The dependencies that a binary from a build cache needs: neither compilers nor build tools."""
        return [edge for edge in self.dependencies if {"link", "run"} & set(edge.types)]

    @property
    def title(self) -> str:
        """`name@version/hash7`, as people write it."""
        return f"{self.name}@{self.version}/{self.hash[:7]}"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where the binary of a concrete spec may be had from, to be signed."""

    kind: Literal["built", "mirror", "none"]
    """`built` from source in this tree, on a `mirror` with a signature that is trusted, or `none`."""
    reason: str = ""
    """Why it is `none`."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the packages that were to be packed. DAG hashes."""

    packed: list[str]
    not_redistributable: list[str]
    """Of those to pack and those copied: their recipe says that their binary must not be redistributed."""


class Redistribution(msgspec.Struct, frozen=True, kw_only=True):
    """What recipes say about redistributing binaries. DAG hashes."""

    not_redistributable: list[str]
    unknown: list[str]
    """No package repository has the recipe, or it can't be loaded."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to concretize, or to read from where it is concrete already."""

    specs: list[str] = []
    spec_files: list[str] = []
    environment: str = ""
    hash: str = ""
    fresh: bool = False


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """Which of some specs the remote mirrors have."""

    available: dict[str, str]
    """DAG hash -> name of the mirror."""
    mirror_faults: list[MirrorFault] = []


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """A binary mirror of Spack's configuration."""

    name: str
    url: str
    signed: bool


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A package repository of Spack's configuration."""

    namespace: str
    root: str
    reference: str = ""
    """How configuration names it on every machine with the same Spack; empty if it lies outside Spack's checkout."""
    is_configured: bool = False
    """Every Spack of this version has it in its configuration."""
    place: str = ""
    """Where a copy has to lie below a folder, for Python to find its modules; empty if no copy is needed."""
    packages: str = ""
    """The folder with the recipes, below the root."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What of Spack's configuration builds the same specs elsewhere. It holds no credentials."""

    scope: dict[str, dict[str, object]] = {}
    """By section."""
    here: dict[str, dict[str, object]] = {}
    """The same: what names folders of this machine."""
    repositories: list[Repository] = []
    """The strongest first."""
    needs: list[str] = []
    """What the other machine needs beside, a sentence each."""


class Concretization(msgspec.Struct, frozen=True, kw_only=True):
    """What Spack answers: concrete specs, and what is there of them already."""

    environment: str
    """The folder of the environment that was named; empty if none was."""
    external_roots: list[str]
    """What was asked for and is not to be built, each in a sentence."""
    roots: list[str]
    """DAG hashes; at least one."""
    specs: list[ConcreteSpec]
    """Each spec of the roots' graphs once, dependencies first."""
    unmarked: list[str] = []
    """DAG hashes of what is installed as a dependency and is now asked for itself."""
    views: Literal["", "current", "outdated"] = ""
    """Whether the environment's views show what is installed; empty if it has none."""
    mirrors: list[Mirror]
    mirror_faults: list[MirrorFault] = []
    """At most one for each mirror."""
    index_asked: bool = False
    """Spack asked the mirrors for their indices, to choose from what they have."""
    secret_variables: list[str]
    """Names of variables that the mirrors' configuration takes credentials from."""
    stage_root: str
    """Below it lie Spack's stage folders."""
    spack_version: str
    spack_commit: str
    packages_commit: str
    """Of the repository with the first root's recipe; empty if it is not a git checkout."""
    build_jobs: int
    """Parallel jobs that Spack allows a build."""
    configuration: Configuration = Configuration()
