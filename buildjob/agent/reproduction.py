"""How a run is repeated: the folder `reproduce/` with the configuration that held, and the commands that use it.

The commands run in the run folder, wherever that was moved to, on a machine with the same Spack. What only the machine of
the run has is used where it is there, and named where it is needed. No credential is saved or printed.
"""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from buildjob.agent.request import CommandBuild
from buildjob.masking import mask
from buildjob.run_folder import REPRODUCE, SPEC
from buildjob.spack.concrete import ConcreteSpec, Concretization, Repository
from buildjob.spack.find import SpackInstallation
from buildjob.spack.variables import READ_BY_SPACK

KEYS = "keys.asc"
HERE = "here"
_LONGEST_VALUE = 1000
_NOT_SOURCES = frozenset({"__pycache__", ".git"})
_MOST_FILES = 2000
_MOST_BYTES = 8 << 20
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_TRUST = f'export SPACK_GNUPGHOME="$(mktemp -d)"; gpg --homedir "$SPACK_GNUPGHOME" --quiet --import {REPRODUCE}/{KEYS}'
_NOT_SET = frozenset({"PATH", *READ_BY_SPACK})
"""Of the variables that change builds: those that another machine has its own values of."""


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What all packages of one call share."""

    found: Concretization
    installation: SpackInstallation
    variables: dict[str, str]
    """Those of the build, without secrets."""
    changing: dict[str, str]
    """Of these, the ones that change what a build makes."""
    jobs: int
    host: str
    """The name of this machine, for what only it has."""
    keys: bytes = b""
    """The public keys that signatures are checked with, armored; empty where no mirror is signed."""
    secret_values: frozenset[str] = frozenset()

    def commands(self, spec: ConcreteSpec) -> list[str]:
        """Return the commands that build a package again in its run folder, one each; comments say what is needed."""
        found = self.found
        commit = f", commit {found.spack_commit}" if found.spack_commit else ""
        install = "install --use-buildcache package:never,dependencies:auto"
        trust = f" --trust {REPRODUCE}/{KEYS}" if self.keys else ""
        return [
            f"# in this folder, with spack-farm and Spack {found.spack_version}{commit}",
            *(f"# or, wherever spack-farm is: {line}" for line in self._from_anywhere(spec)),
            *(f"# {need}" for need in self._needs(spec)),
            find_spack(self.installation.program),
            "export SPACK_DISABLE_LOCAL_CONFIG=true",
            *self._folders(),
            *exports(self.changing, self.secret_values),
            f'spack-farm build --spack "$spack" -C {REPRODUCE} -j{self.jobs}{trust} ./{SPEC}',
            "# or with Spack alone:",
            *([_TRUST] if self.keys else []),
            f'"$spack" -E -C {REPRODUCE} {install} -j{self.jobs} ./{SPEC}',
        ]

    def _from_anywhere(self, spec: ConcreteSpec) -> Iterator[str]:
        """Yield the command that takes the run from the artifacts of its GitLab job, if there is one."""
        api, project, job = (self.variables.get(name, "") for name in ("CI_API_V4_URL", "CI_PROJECT_ID", "CI_JOB_ID"))
        if api and project and job:
            url = f"{api}/projects/{project}/jobs/{job}/artifacts"
            yield f"spack-farm build --reproduce {quote(url)} --hash {spec.hash[:7]}"

    def _needs(self, spec: ConcreteSpec) -> Iterator[str]:
        if self.found.packages_commit and any(repo.is_configured for repo in self.found.configuration.repositories):
            yield f"package repository builtin at commit {self.found.packages_commit}"
        yield from self.found.configuration.needs
        for folder in spec.develop_folders:
            yield f"the sources that it is developed in, {folder}, as they were"
        if spec.installed:
            yield "what is installed already is not built again: uninstall it first, or set another install tree"

    def _folders(self) -> Iterator[str]:
        """Yield the variables of Spack that name what another machine need not have."""
        if cache := self.variables.get("SPACK_USER_CACHE_PATH"):
            yield f"[ ! -d {quote(cache)} ] || export SPACK_USER_CACHE_PATH={quote(cache)}"
        if python := self.variables.get("SPACK_PYTHON"):
            yield f"[ ! -x {quote(python)} ] || export SPACK_PYTHON={quote(python)}"
        if self.installation.tools:
            yield f'export PATH="$PATH":{quote(str(self.installation.tools))}'

    def save(self, spec: ConcreteSpec, folder: Path) -> list[str]:
        """Write `reproduce/` into a run folder; return what is not in it, in sentences. Raises OSError."""
        target, configuration = folder / REPRODUCE, self.found.configuration
        target.mkdir(exist_ok=True)
        repositories, copied, notes = {}, _Copied(), []
        recipes = recipes_of(spec, self.found.specs)
        for repository in configuration.repositories:
            if repository.is_configured:
                continue
            repositories[repository.namespace] = repository.reference or f"./{repository.place}"
            if repository.place:
                wanted = {recipe for namespace, recipe in recipes if namespace == repository.namespace}
                if not copied.copy(repository, wanted, target / repository.place, self.secret_values):
                    notes.append(f"{REPRODUCE}/ lacks files of {repository.root}: it has too many")
        # without the repository that this machine's Spack configures, the other machine's must stay
        is_whole = not any(repository.is_configured for repository in configuration.repositories)
        sections = configuration.scope | {"repos:" if is_whole else "repos": repositories}
        sections["mirrors:"] = sections.pop("mirrors", {})
        self._write_scope(target, sections)
        if self.keys:
            (target / KEYS).write_bytes(self.keys)
        if any(configuration.here.values()) and _HOST_NAME.fullmatch(self.host):
            (target / HERE).mkdir()
            self._write_scope(target / HERE, configuration.here)
            include = {"path": HERE, "optional": True, "when": f"hostname == '{self.host}'"}
            self._write_scope(target, {"include": [include]})
        return notes

    def _write_scope(self, folder: Path, sections: Mapping[str, object]) -> None:
        for section, value in sections.items():
            if value or section.endswith(":"):
                text = mask(msgspec.json.encode({section: value}).decode(), self.secret_values)
                (folder / f"{section.removesuffix(':')}.yaml").write_text(text + "\n")


def find_spack(program: Path) -> str:
    """Return the command that sets `spack`: to the program if it is there, else to that on PATH."""
    return f'spack={quote(str(program))}; [ -x "$spack" ] || spack=$(command -v spack || echo spack)'


def exports(variables: Mapping[str, str], secret_values: Iterable[str]) -> Iterator[str]:
    """Yield the commands that set the variables that change what a build makes."""
    secrets = frozenset(secret_values)
    for name, value in variables.items():
        if name in _NOT_SET:
            continue
        if len(value) > _LONGEST_VALUE or mask(value, secrets) != value:
            yield f"# {name}: too long, or not public: it is not set here"
        else:
            yield f"export {name}={quote(value)}"


def command_build(
    command: CommandBuild, *, folder: Path, variables: Mapping[str, str], secret_values: frozenset[str], commit: str
) -> list[str]:
    """Return the commands that run a `--command` build again."""
    prefix = f" --prefix {quote(str(command.prefix))}" if command.prefix else ""
    at = f", at commit {commit}" if commit else ""
    text = mask(command.command, secret_values)
    masked = ["# it holds what is not public: put it in place of [MASKED]"] if text != command.command else []
    where = quote(str(folder))
    named = f"--name {quote(command.name)} --version {quote(command.version)}{prefix}"
    return [
        f"# with spack-farm, and the folder of the sources{at}",
        *masked,
        *exports(variables, secret_values),
        f"(cd {where} && spack-farm build --command {quote(text)} {named})",
        "# or without measuring it:",
        f"(cd {where} && sh -c {quote(text)})",
    ]


def quote(text: str) -> str:
    """Return a text as one word for a shell. It can be copied from a page: what cannot be seen is written as a number."""
    if all(character.isprintable() or character == "\n" for character in text):
        return shlex.quote(text)
    octal = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\0{byte:03o}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return f"\"$(printf %b '{octal}')\""


def recipes_of(spec: ConcreteSpec, specs: Sequence[ConcreteSpec]) -> set[tuple[str, str]]:
    """Return namespace and recipe of all that a spec's build reads: its graph, and what patches something in it."""
    by_hash = {each.hash: each for each in specs}
    graph: dict[str, ConcreteSpec] = {}
    waiting = [spec]
    while waiting:
        each = waiting.pop()
        if each.hash not in graph:
            graph[each.hash] = each
            waiting += [by_hash[edge.hash] for edge in each.dependencies if edge.hash in by_hash]
    # a dependent may patch its dependency, whose build then reads the dependent's recipe
    patched = {each.hash for each in graph.values() if each.variants.get("patches")}
    patching = [each for each in specs if any(edge.hash in patched for edge in each.dependencies)]
    return {(each.namespace, each.recipe) for each in (*graph.values(), *patching) if each.recipe}


class _Copied:
    """Copies repositories in part, bounded over all of them."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def copy(self, repository: Repository, recipes: set[str], target: Path, secret_values: frozenset[str]) -> bool:
        """Copy the recipes, what they import, and what the repository's packages share; return whether all had room."""
        root = Path(repository.root)
        packages = root / repository.packages
        wanted, folders = set(recipes), []
        while wanted:
            name = wanted.pop()
            folder = packages / name
            if folder in folders or not (folder / "package.py").is_file():
                continue
            folders.append(folder)
            wanted |= imported_recipes((folder / "package.py").read_text("utf-8", "replace"))
        (target / repository.packages).mkdir(parents=True, exist_ok=True)
        shared = [path for path in files_below(root, without=packages) if path.suffix in {".py", ".yaml"}]
        if packages == root:
            shared = [root / "repo.yaml"]
        for path in (*shared, *(path for folder in folders for path in files_below(folder))):
            content = path.read_bytes()
            self._files += 1
            self._bytes += len(content)
            if self._files > _MOST_FILES or self._bytes > _MOST_BYTES:
                return False
            for value in secret_values:
                content = content.replace(value.encode(), b"[MASKED]")
            copy = target / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        return True


def imported_recipes(text: str) -> set[str]:
    """Return the folders of recipes of which a recipe imports something."""
    return set(
        re.findall(r"^\s*(?:from|import)\s+(?:spack_repo\.[\w.]+\.packages|spack\.pkg\.\w+)\.(\w+)", text, re.MULTILINE)
    )


def files_below(folder: Path, *, without: Path | None = None) -> Iterator[Path]:
    """Yield the files below a folder, in order, without what Python and git leave there, nor what is below `without`."""
    for place, folders, names in os.walk(folder):
        # thousands of recipes are not looked at, of which a few are wanted
        folders[:] = sorted(name for name in folders if name not in _NOT_SOURCES and Path(place, name) != without)
        yield from (path for name in sorted(names) if (path := Path(place, name)).is_file())
