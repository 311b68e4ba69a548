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


def shorten(text: bytes, tree: Tree) -> bytes:
    """Replace the parents of source and build directory by `/.../`, if the directory has more than 20 characters."""
    for directory in (tree.source_directory, tree.build_directory):
        if len(directory.encode()) > _SHORT_ENOUGH:
            text = text.replace(directory.rpartition("/")[0].encode() + b"/", b"/.../")
    return text


def find_place(line: bytes, tree: Tree) -> tuple[bytes, int] | None:
    """Return the file and line number that a line names, by the first of CTest's eight patterns that matches."""
    for pattern, file_group, line_group in _PATTERNS:
        if match := pattern.search(line):
            file = _relative(match[file_group].replace(b"\\", b"/"), tree)
            return (file, int(match[line_group][:18])) if file else None
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
