"""Which files and checkouts a generation reads beside its request: found without Spack, and without reading YAML.

Configuration names further places: `include:` other files and folders, `repos:` package repositories. Their words are looked
for in the text, and those that name something that is there count. Source: Spack 1.1, "Configuration Files", "Environments".
"""

import os
import re

from . import git_heads

TYPE_CHECKING = False  # every import counts here
if TYPE_CHECKING:
    from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

MANIFEST, LOCK = "spack.yaml", "spack.lock"
_SECTION = r"""^([ \t]*)(?:{0})::?(?=\s)|(?:["'](?:{0}):?["']|[{{,]\s*(?:{0})):?\s*:"""
_WORD = re.compile(r"""(?:\$\{\w+\}|[^\s,'"\[\]{}])+""")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_RECIPE = (".py", ".patch")
_RECIPES = "packages"
_DEEPEST = 3
_BY_VARIABLES = ("~/.spack", "/etc/spack")
"""What Spack's own include.yaml names; variables say whether it is read, and where it is: `_scopes`."""


def spack_root(variables: "Mapping[str, str]") -> str:
    """Return the folder of the Spack that a generator here would use; empty without one."""
    if variables.get("SPACK_ROOT"):
        return variables["SPACK_ROOT"]
    for folder in variables.get("PATH", os.defpath).split(os.pathsep):
        program = os.path.join(folder or ".", "spack")
        root = os.path.dirname(os.path.dirname(os.path.realpath(program)))
        if os.access(program, os.X_OK) and os.path.isdir(os.path.join(root, "lib", "spack")):
            return root
    return ""


class Inputs:
    """What is read, each path once; `parts` are names and contents in the order in which they were found."""

    def __init__(self, variables: "Mapping[str, str]") -> None:
        self.variables = variables
        self.root = spack_root(variables)
        self.parts: "List[Tuple[str, bytes]]" = []
        self._seen: "Set[str]" = set()

    def add_environment(self, place: str, files: "Mapping[str, str]") -> None:
        """Add an environment: a folder, a lock, or the files that a request has itself."""
        if os.path.isdir(place):
            for name in (MANIFEST, LOCK):
                self._add_file(os.path.join(place, name), _DEEPEST)
            self._add_variables(content(os.path.join(place, MANIFEST)).decode("utf-8", "replace"))
        elif place:
            self._add_file(place, _DEEPEST)
        else:
            text = files.get(MANIFEST, "")
            self._add_variables(text)
            self._add_named(text, "", _DEEPEST)

    def add_configuration(self, folders: "Iterable[str]") -> None:
        """Add Spack's own configuration, the machine's, the user's, and further scopes or package repositories."""
        home = os.path.join(self.variables.get("HOME", "/"), ".spack")
        for folder in self._scopes(home):
            self._add_files(folder, _DEEPEST)
        if self.root:
            self._add_commit(self.root)
        cloned = os.path.join(self.variables.get("SPACK_USER_CACHE_PATH") or home, "package_repos")
        for name in names(cloned):
            self._add_commit(os.path.join(cloned, name))
        for folder in folders:
            self._add_place(folder, _DEEPEST)

    def _scopes(self, home: str) -> "Iterator[str]":
        if self.root:
            yield os.path.join(self.root, "etc/spack")
        if not self.variables.get("SPACK_DISABLE_LOCAL_CONFIG"):
            yield self.variables.get("SPACK_SYSTEM_CONFIG_PATH") or "/etc/spack"
            yield self.variables.get("SPACK_USER_CONFIG_PATH") or home

    def _add_place(self, path: str, depth: int) -> None:
        """Add what a path names: a file, or a folder that may be a scope or a package repository."""
        if os.path.isfile(path):
            self._add_file(path, depth)
        elif os.path.isdir(path):
            self._add_files(path, depth)
            if not self._add_commit(path):
                self._add_recipes(os.path.join(path, _RECIPES))

    def _add_files(self, folder: str, depth: int) -> None:
        for path in files_below(folder, ".yaml"):
            self._add_file(path, depth)

    def _add_file(self, path: str, depth: int) -> None:
        if path in self._seen:
            return
        self._seen.add(path)
        found = content(path)
        self.parts.append((path, found))
        if depth > 0 and os.path.basename(path) != LOCK:
            self._add_named(found.decode("utf-8", "replace"), os.path.dirname(path), depth - 1)

    def _add_named(self, text: str, folder: str, depth: int) -> None:
        for path in self.named(text, folder):
            self._add_place(path, depth)

    def _add_commit(self, folder: str) -> bool:
        """Add the commit of a folder's checkout; return whether it has one."""
        found = git_heads.commit(folder)
        self.parts.append(("commit of " + folder, found.encode()))
        return bool(found)

    def _add_recipes(self, folder: str) -> None:
        """Add when the recipes of a package repository changed that is in no checkout."""
        for name in names(folder):
            for inner in names(os.path.join(folder, name)):
                if inner.endswith(_RECIPE):
                    path = os.path.join(folder, name, inner)
                    try:
                        found = os.stat(path)
                    except OSError:
                        continue
                    self.parts.append((path, f"{found.st_size} {found.st_mtime_ns}".encode()))

    def _add_variables(self, text: str) -> None:
        """Add the values of variables that the text names: addresses of mirrors have some."""
        for name in sorted({first or second for first, second in _VARIABLE.findall(text)}):
            if name in self.variables:
                self.parts.append(("$" + name, self.variables[name].encode("utf-8", "surrogateescape")))

    def named(self, text: str, folder: str) -> "List[str]":
        """Return the paths that `include` and `repos` sections of a text name, those that are there."""
        known: "Dict[str, str]" = dict(self.variables, spack=self.root, env=folder)
        found: "List[str]" = []
        for section in sections(text):
            for word in words(section):
                if word in _BY_VARIABLES:
                    continue
                path = _VARIABLE.sub(lambda match: known.get(match.group(1) or match.group(2), match.group()), word)
                path = path.removeprefix("file://")
                if path.startswith("~/"):
                    path = self.variables.get("HOME", "/") + path[1:]
                path = os.path.normpath(os.path.join(folder, path)) if folder or os.path.isabs(path) else ""
                if path and path not in found and path != folder and os.path.exists(path):
                    found.append(path)
        return found


def words(section: str) -> "List[str]":
    """Return the words of a part of a YAML text; keys end with a colon."""
    return _WORD.findall(section)


def sections(text: str, keys: str = "include|repos") -> "Iterator[str]":
    """Yield what belongs to each of some keys of a YAML text, in block or in flow style."""
    for match in re.finditer(_SECTION.format(keys), text, re.MULTILINE):
        rest = text[match.end() :]
        opened = rest.lstrip(" \t\n")[:1]
        indent: "Optional[str]" = match.group(1)
        yield _bracketed(rest) if opened in ("[", "{") or indent is None else _block(rest, len(indent))


def _bracketed(text: str) -> str:
    depth = 0
    for place, letter in enumerate(text):
        depth += letter in "[{"
        depth -= letter in "]}"
        if depth == 0 and letter in "]}":
            return text[: place + 1]
    return text


def _block(text: str, indent: int) -> str:
    """Return the lines that stand deeper than their key; entries of a list may stand as deep as it."""
    lines = text.split("\n")
    found = lines[:1]
    for line in lines[1:]:
        bare = line.lstrip(" ")
        depth = len(line) - len(bare)
        if bare and not bare.startswith("#") and (depth < indent or (depth == indent and not bare.startswith("- "))):
            break
        found.append(line)
    return "\n".join(line.partition(" #")[0] for line in found if not line.lstrip().startswith("#"))


def files_below(folder: str, ending: str, depth: int = _DEEPEST) -> "List[str]":
    """Return the files below a folder that end so, sorted; neither recipes, of which there are thousands, nor Git's own."""
    found: "List[str]" = []
    for name in names(folder):
        path = os.path.join(folder, name)
        if name.endswith(ending):
            found.append(path)
        elif depth > 1 and name not in (_RECIPES, ".git") and os.path.isdir(path):
            found += files_below(path, ending, depth - 1)
    return found


def names(folder: str) -> "Iterable[str]":
    """Return what is in a folder, sorted; nothing where there is none."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return ()


def content(path: str) -> bytes:
    """Return the content of a file; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
