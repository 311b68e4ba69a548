"""stacks.toml: packages x versions x compilers x operating systems x targets, with exclusions, as cells. Pure.

A cell is one stack on one operating system and target: an environment of Spack with all its specs, an image, tags and a
mirror of its own. docs/pipelines.md describes the file.
"""

import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipelines.errors import BadRequest
from spelling.keys import unknown_keys
from spelling.nearest import did_you_mean

_PLACE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_MOST_CELLS, _MOST_SPECS = 1000, 20_000


class Exclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out: everything that has all of these. Empty: any."""

    package: str = ""
    """Name of a package, without version and variants."""
    version: str = ""
    """A version of `versions`."""
    compiler: str = ""
    """A compiler of `compilers`."""
    os: str = ""
    """An operating system."""
    target: str = ""
    """A target."""


class Stack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stack: one environment for each operating system and target."""

    name: str
    """Name of the stack; part of the names of jobs and folders."""
    packages: list[str]
    """What to build: specs, each with its variants, without compiler and target."""
    versions: dict[str, list[str]] = {}
    """Versions by name of a package; Spack chooses for all others."""
    compilers: list[str] = []
    """Compilers, such as `gcc@13.2.0`; empty: Spack's choice."""
    os: list[str] = []
    """Operating systems by Spack's names; empty: that of the image."""
    targets: list[str] = []
    """Targets by Spack's names; empty: that of the machine."""
    image: str = ""
    """Image of the generate job, and of the builds. May have `{stack}`, `{os}` and `{target}`."""
    tags: list[str] = []
    """Tags of the runner. May have the same names."""
    mirror: str = ""
    """Build cache of the cell. May have the same names."""
    include: list[str] = []
    """Configuration files of Spack, relative to stacks.toml: the `ci` section, packages. May have the same names."""
    concretizer: dict[str, Any] = msgspec.field(default_factory=lambda: {"unify": False, "reuse": False})
    """The section of that name."""
    exclude: list[Exclusion] = []
    """What is left out."""


class Matrix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: stacks, and what all of them have if they do not say it."""

    stack: list[Stack]
    """The stacks."""
    script: list[str] = []
    """Script of the generate jobs; `{cell}` is the cell's name. Empty: `pipelines generate FILE --cell {cell}`."""


class _File(Matrix, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys that the file may have."""

    defaults: Stack | None = None
    """What stacks have that do not say it themselves."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One environment of the matrix."""

    name: str
    """Unique: the stack's name, the operating system and the target, where the stack has several."""
    specs: tuple[str, ...]
    """What its environment asks for."""
    image: str
    tags: tuple[str, ...]
    mirror: str
    include: tuple[str, ...]
    concretizer: dict[str, Any]

    def manifest(self, folder: str) -> str:
        """Return the environment's spack.yaml; `folder` is that of stacks.toml, relative to the environment's."""
        spack: dict[str, Any] = {"specs": list(self.specs), "view": False, "concretizer": self.concretizer}
        if self.include:
            spack["include"] = [
                path if path.startswith("/") or "://" in path else f"{folder}/{path}" for path in self.include
            ]
        if self.mirror:
            spack["mirrors"] = {"buildcache-destination": self.mirror}
        place: dict[str, Any] = {"image": self.image} if self.image else {}
        place |= {"tags": list(self.tags)} if self.tags else {}
        # the cell's own section has the last word over what it includes
        spack["ci"] = {"pipeline-gen": [{"any-job": place}]} if place else {"target": "gitlab"}
        return json.dumps({"spack": spack}, indent=1) + "\n"  # JSON is YAML


def read(content: str, name: str) -> Matrix:
    """Return a matrix. Raises BadRequest, naming the file and the key."""
    try:
        document = tomllib.loads(content)
        if unknown := unknown_keys(document, _File):
            raise BadRequest(f"{name}: {'; '.join(unknown)}")
        defaults = document.pop("defaults", {})
        if isinstance(defaults, dict) and isinstance(document.get("stack"), list):
            document["stack"] = [{**defaults, **each} if isinstance(each, dict) else each for each in document["stack"]]
        return msgspec.convert(document, Matrix)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise BadRequest(f"{name}: {error}") from error


def cells(matrix: Matrix) -> list[Cell]:
    """Return all cells that have a spec left. Raises BadRequest for names that are none, or are used twice."""
    found = [cell for stack in matrix.stack for cell in _cells(stack)]
    names = [cell.name for cell in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise BadRequest(f"two cells have the name {twice}; rename a stack")
    if len(found) > _MOST_CELLS:
        raise BadRequest(f"the matrix has {len(found)} cells; at most {_MOST_CELLS} are generated")
    if not found:
        raise BadRequest("the matrix has no cell: everything is excluded, or there is no stack")
    return found


def _cells(stack: Stack) -> Iterator[Cell]:
    if not _NAME.fullmatch(stack.name):
        raise BadRequest(f"{stack.name!r} is no name of a stack: letters, digits, '_', '.' and '-' only, at most 80")
    _require_known(stack)
    for os, target in itertools.product(stack.os or [""], stack.targets or [""]):
        specs = tuple(_specs(stack, os, target))
        several = [os] * (len(stack.os) > 1) + [target] * (len(stack.targets) > 1)
        names = {"stack": stack.name, "os": os, "target": target}
        if len(specs) > _MOST_SPECS:
            raise BadRequest(f"{stack.name}: a cell has {len(specs)} specs; at most {_MOST_SPECS} are generated")
        if specs:
            yield Cell(
                name="-".join([stack.name, *several]),
                specs=specs,
                image=_filled(stack.image, names, stack.name),
                tags=tuple(_filled(tag, names, stack.name) for tag in stack.tags),
                mirror=_filled(stack.mirror, names, stack.name),
                include=tuple(_filled(path, names, stack.name) for path in stack.include),
                concretizer=stack.concretizer,
            )


def _require_known(stack: Stack) -> None:
    """Raise BadRequest for versions or exclusions of what the stack does not have: they would do nothing."""
    packages = {_name_of(spec) for spec in stack.packages}
    known = {
        "package": packages,
        "version": {version for versions in stack.versions.values() for version in versions},
        "compiler": set(stack.compilers),
        "os": set(stack.os),
        "target": set(stack.targets),
    }
    if unknown := sorted(set(stack.versions) - packages):
        offer = did_you_mean(unknown[0], packages)
        raise BadRequest(f"{stack.name}: versions of {unknown[0]}, which is not among its packages{offer}")
    for exclusion in stack.exclude:
        given: dict[str, str] = {key: value for key, value in msgspec.to_builtins(exclusion).items() if value}
        if not given:
            raise BadRequest(f"{stack.name}: an exclusion without a key would leave out everything")
        for key, value in given.items():
            if value not in known[key]:
                offer = did_you_mean(value, known[key])
                raise BadRequest(f"{stack.name}: an exclusion has the {key} {value}, which the stack does not have{offer}")


def _specs(stack: Stack, os: str, target: str) -> Iterator[str]:
    for spec in stack.packages:
        name = _name_of(spec)
        for version, compiler in itertools.product(stack.versions.get(name, [""]), stack.compilers or [""]):
            one = {"package": name, "version": version, "compiler": compiler, "os": os, "target": target}
            if not any(_applies(exclusion, one) for exclusion in stack.exclude):
                words = [f"%{compiler}" if compiler else "", f"os={os}" if os else "", f"target={target}" if target else ""]
                at = f"@{version}" if version else ""
                yield " ".join([name + at + spec[len(name) :], *(word for word in words if word)])


def _applies(exclusion: Exclusion, one: Mapping[str, str]) -> bool:
    given: dict[str, str] = msgspec.to_builtins(exclusion)
    return all(not value or one[key] == value for key, value in given.items())


def _name_of(spec: str) -> str:
    found = re.match(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", spec)
    if not found:
        raise BadRequest(f"{spec!r} is no package: it must begin with a name")
    return found[0]


def _filled(text: str, names: Mapping[str, str], stack: str) -> str:
    """Return a text with the names of its cell. Raises BadRequest for any other name."""
    if unknown := [name for name in _PLACE.findall(text) if name not in names]:
        raise BadRequest(f"{stack}: {text!r} has {{{unknown[0]}}}; known are {{stack}}, {{os}} and {{target}}")
    return _PLACE.sub(lambda found: names[found[1]], text)
