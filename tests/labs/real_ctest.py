"""Runs the machine's own ctest on a log and reads what it scraped: the reference for the rules `ctest`."""

import functools
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lxml import etree

from ctest_xml.ctest_tables import ERRORS, WARNINGS
from ctest_xml.model import LogEvent
from ctest_xml.places import Tree
from ctest_xml.scan import Limits, scan
from ctest_xml.text import clean

Fields = tuple[str, int, list[str]]

_SCRIPT = """\
set(CTEST_SITE "site")
set(CTEST_BUILD_NAME "name")
set(CTEST_SOURCE_DIRECTORY "{source}")
set(CTEST_BINARY_DIRECTORY "{build}")
set(CTEST_CMAKE_GENERATOR "Unix Makefiles")
set(CTEST_CUSTOM_MAXIMUM_NUMBER_OF_ERRORS {limit})
set(CTEST_CUSTOM_MAXIMUM_NUMBER_OF_WARNINGS {limit})
set(CTEST_BUILD_COMMAND "/bin/cat {log}")
ctest_start(Experimental)
ctest_build()
"""


def needs_ctest() -> None:
    """Skip the test when there is no ctest."""
    if shutil.which("ctest") is None:
        pytest.skip("no ctest on this machine (scripts/system-packages installs cmake)")


@functools.cache
def version() -> str:
    """Return ctest's version."""
    output = subprocess.run(["ctest", "--version"], capture_output=True, text=True, check=True).stdout
    return re.sub(r"[^0-9.]", "", output.split("\n")[0])


def tree_of(folder: Path) -> Tree:
    """Return the directories below a folder that ctest's script names."""
    keep_slash = tuple(map(int, version().split(".")[:1])) >= (4,)
    return Tree(source_directory=f"{folder}/project", build_directory=f"{folder}/build", keep_slash=keep_slash)


def theirs(log: bytes, folder: Path, *, limit: int) -> list[Fields]:
    """Return the events that ctest scrapes from a log."""
    tree = tree_of(folder)
    for directory in (tree.source_directory, tree.build_directory):
        shutil.rmtree(directory, ignore_errors=True)
        Path(directory).mkdir(parents=True)
    (folder / "log").write_bytes(log)
    names = {"source": tree.source_directory, "build": tree.build_directory, "log": folder / "log", "limit": limit}
    (folder / "dash.cmake").write_text(_SCRIPT.format(**names))
    subprocess.run(["ctest", "-S", folder / "dash.cmake"], cwd=folder, capture_output=True, check=False, timeout=300)
    (found,) = Path(tree.build_directory).glob("Testing/*/Build.xml")
    root = etree.parse(found, etree.XMLParser(huge_tree=True)).getroot()
    return [_fields(node) for node in root.iter("Error", "Warning")]


def ours(log: bytes, folder: Path, *, limit: int, use_re2: bool = True) -> list[Fields]:
    """Return our events of the same log, in the same form."""
    limits = Limits(errors=limit, warnings=limit)
    return [_of_event(event) for event in scan([log], rules="ctest", tree=tree_of(folder), limits=limits, use_re2=use_re2)]


def _fields(node: etree._Element) -> Fields:
    tags = ("Text", "SourceFile", "SourceLineNumber", "PreContext", "PostContext")
    return str(node.tag).lower(), int(node.findtext("BuildLogLine", "0")), [node.findtext(tag) or "" for tag in tags]


def _of_event(event: LogEvent) -> Fields:
    line = "" if event.file_line is None else str(event.file_line)
    texts = (event.text, event.file, line, event.pre_context, event.post_context)
    return event.kind, event.log_line, [clean(text) for text in texts]


_WORDS = (
    *(
        " ",
        "\t",
        ":",
        ": ",
        "t",
        "tx",
        "(",
        ")",
        "[",
        "]",
        '"',
        "'",
        "`",
        "*",
        ",",
        "\\",
        "/",
        "^",
        "{2}",
        "$",
        "|",
        "-",
        "=",
    ),
    *(
        "a.c",
        "src/b.cpp",
        "main",
        "Makefile:",
        "makefile:",
        "12",
        "7",
        "error",
        "Error",
        "warning",
        "Warning",
        "note",
        "fatal error",
    ),
    *(
        ": error",
        ": warning",
        ": note: ",
        "error:",
        "ERROR: ",
        "WARNING: ",
        "Note:",
        "undefined reference",
        "make[2]: *** ",
        "x",
    ),
    *(
        "candidates are:",
        "instantiated from ",
        " : warning",
        " : error",
        "remark #12",
        "line 3",
        "lcc: ",
        "строка",
        "ошибка",
        "é",
    ),
    *(
        "File = a.f, Line = 3",
        "ld: ",
        "collect2: ",
        "cannot find",
        "can't find",
        "No such file or directory",
        "/.../",
        "../up.c",
    ),
)


def lines(dice: random.Random, count: int, folder: Path) -> list[bytes]:
    """Return lines that come near CTest's patterns: pieces of them, in odd orders, with odd bytes."""
    pieces = [piece for pattern in (*ERRORS, *WARNINGS) for piece in re.split(r"[\[\]()|?*+^]+", pattern) if piece.strip()]
    tree = tree_of(folder)
    places = [f"{tree.source_directory}/src/a.c", f"{tree.build_directory}/b.c", f"{folder}/other.c"]

    def line() -> bytes:
        luck = dice.random()
        if luck < 0.3:
            return f"plain {dice.randrange(1000)} of the log".encode()
        if luck < 0.45:
            kind = dice.choice(("error", "warning", "note", "Error", "remark", "fatal error"))
            return f"{dice.choice([*places, 'x.c', './y/../z.c', 'C:/w.c'])}:{dice.randrange(99)}: {kind}: text".encode()
        text = "".join(dice.choice(pieces if dice.random() < 0.5 else _WORDS) for _ in range(dice.randrange(1, 9)))
        raw = text.encode()
        if luck > 0.9:
            at = dice.randrange(len(raw) + 1)
            odd = dice.choice(
                [b"\x1b[31m", b"\x1b[0;1m", b"\x1b[K", b"\r", b"\0", b"\xff", b"\xe2\x82", b"\x01", b"\xed\xa0\x80"]
            )
            raw = raw[:at] + odd + raw[at:]
        return raw

    return [line() for _ in range(count)]
