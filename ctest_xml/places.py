"""Finds the file and line that an event names, and shortens paths, as CTest does.

Knows nothing of errors. Obeys: CMake, Source/CTest/cmCTestBuildHandler.cxx, GenerateXMLLogScraped; 3.25 and 4.4 differ in
how they make a path relative to the source directory.
"""

import os.path
import re
from dataclasses import dataclass

from ctest_xml.ctest_tables import FILE_AND_LINE
from ctest_xml.kwsys_regex import translate

_SHORT_ENOUGH = 20
_PATTERNS = tuple((re.compile(translate(pattern).encode()), file, line) for pattern, file, line in FILE_AND_LINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Source and build directory: they are cut from paths, so that paths are equal from build to build."""

    source_directory: str = ""
    build_directory: str = ""
    keep_slash: bool = True
    """CTest 4.4 leaves the slash after the removed source directory (`/a.c`), 3.25 does not (`a.c`)."""


_FILE = r"((?:[A-Za-z]:[\\/])?[^\s:\"'()<>,=\[\]|]+)"
_IN_THE_LINE = tuple(
    (re.compile(pattern.encode()), file, line)
    for pattern, file, line in (
        (r"^ *CMake [A-Za-z ()]*?(?:at|in) (.+?):([0-9]+)(?: \(|:)", 1, 2),
        (rf"(?:^|[\s:\"'(`]){_FILE}:([0-9]+)(?:[.:][0-9]+)?(?:-[0-9.]+)?(?::|$)", 1, 2),
        (rf"(?:^|\s){_FILE}:\[([0-9]+),[0-9]+\]", 1, 2),  # Maven
        (rf"^{_FILE}: (?:line )?([0-9]+): ", 1, 2),  # shells
        (r"\b[Ff]ile \"([^\"]+)\",? line ([0-9]+)", 1, 2),  # Python, OCaml, Tcl
        (r"^Warning W[0-9]+ ([^ ]+) ([0-9]+):", 1, 2),  # Borland
        (r"File = ([^ ,]+), Line = ([0-9]+)", 1, 2),  # Cray, SGI
        (rf" at {_FILE} line ([0-9]+)(?:[.,]|$)", 1, 2),  # Perl
        (rf"^(?:[0-9]+>)?{_FILE}\(([0-9]+)(?:, ?[0-9]+)?\)", 1, 2),
        (rf"\({_FILE}: ?([0-9]+)\)", 1, 2),  # PGI, Java
    )
)
_NO_FILES = re.compile(rb"(?:(?:/bin/)?(?:ba|da|k|z)?sh|-e?|stdin|input|node|//.*|[^A-Za-z_]*)")
_MESSAGE = r"^\s*(?:Fatal )?(?:[Ee]rror|Warning)(?:\[[^\]]*\])?(?: [0-9]+)?(?: \[[^\]]*\]| \([^)]*\))?:? "
_EXCEPTION = r"^\s*(?:E +)?(?:Exception in thread|[\w.]*[A-Z]\w*(?:Error|Exception|Interrupt)\b)"
_NEARBY = tuple(
    (re.compile(text.encode()), is_before, re.compile(pattern.encode()), file, line)
    for text, is_before, pattern, file, line in (
        (_MESSAGE, True, rf"^{_FILE}:([0-9]+):[0-9]+:$", 1, 2),  # GNU Fortran
        (_MESSAGE, True, r'^File "([^"]+)", lines? ([0-9]+)', 1, 2),  # OCaml
        (_MESSAGE, False, rf"^ *--> {_FILE}:([0-9]+):[0-9]+", 1, 2),  # Rust
        (_EXCEPTION, True, r'^\s*File "([^"]+)", line ([0-9]+)', 1, 2),  # Python
        (_EXCEPTION, True, rf"^{_FILE}:([0-9]+)$", 1, 2),  # Node.js
        (_EXCEPTION, True, rf"^{_FILE}:([0-9]+): (?:in |[A-Z])", 1, 2),  # pytest
        (_EXCEPTION, False, r'^\s*File "([^"]+)", line ([0-9]+):$', 1, 2),  # SCons
        (_EXCEPTION, False, rf"^\s*at .*\({_FILE}:([0-9]+)(?::[0-9]+)?\)", 1, 2),  # Java, Node.js
        (r"^Fortran runtime error", True, r"^At line ([0-9]+) of file (\S+)", 2, 1),
        (r"^invalid command name", False, r'^ *\(file "([^"]+)" line ([0-9]+)\)', 1, 2),  # Tcl
    )
)
"""What the message is; whether its place is before it; the place; groups of file and line."""
_NEAR_LINES = 8
_SEARCHED_BYTES = 1000
"""A place is at the beginning of a message; the search may be quadratic in the length of a hostile line."""


def shorten(text: bytes, tree: Tree) -> bytes:
    """Replace the parents of source and build directory by `/.../`, if the directory has more than 20 characters."""
    for directory in (tree.source_directory, tree.build_directory):
        if directory and len(directory.encode()) > _SHORT_ENOUGH:
            text = text.replace(directory.rpartition("/")[0].encode() + b"/", b"/.../")
    return text


def find_place(line: bytes, tree: Tree) -> tuple[bytes, int] | None:
    """Return the file and line number that a line names, by the first of CTest's eight patterns that matches."""
    for pattern, file_group, line_group in _PATTERNS:
        if match := pattern.search(line):
            file = _relative(match[file_group].replace(b"\\", b"/"), tree)
            return (file, int(match[line_group][:18])) if file else None
    return None


def find_any_place(line: bytes, tree: Tree) -> tuple[bytes, int] | None:
    """Return the first place that a line names anywhere in it, in the manner of any tool."""
    line = line[:_SEARCHED_BYTES]
    for pattern, file_group, line_group in _IN_THE_LINE:
        for match in pattern.finditer(line):
            if not _NO_FILES.fullmatch(match[file_group]):
                return _relative(match[file_group].replace(b"\\", b"/"), tree), int(match[line_group][:18])
    return None


def find_place_nearby(line: bytes, *, before: list[bytes], after: list[bytes], tree: Tree) -> tuple[bytes, int] | None:
    """Return the place that is not in the line itself, but in those around it that belong to its message."""
    for text, is_before, pattern, file_group, line_group in _NEARBY:
        if not text.search(line[:_SEARCHED_BYTES]):
            continue
        for near in before[: -_NEAR_LINES - 1 : -1] if is_before else after[:_NEAR_LINES]:
            if match := pattern.search(near[:_SEARCHED_BYTES]):
                if match[file_group].startswith(b"<"):  # `<string>`: the code is in no file
                    return None
                return _relative(match[file_group], tree), int(match[line_group][:18])
    return None


def _relative(file: bytes, tree: Tree) -> bytes:
    if b"/.../" in file:  # `shorten` was here: what is left begins with the source directory's own name
        bare = file.replace(b"/.../", b"")
        return bare.partition(b"/")[2] if b"/" in bare else bare
    if not tree.build_directory:
        return file
    absolute = os.path.normpath(file if file.startswith(b"/") else tree.build_directory.encode() + b"/" + file)
    source = tree.source_directory.encode() + (b"" if tree.keep_slash else b"/")
    return absolute.replace(source, b"") if tree.source_directory else absolute
