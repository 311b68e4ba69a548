"""Reads which build a document belongs to. A submission's query string must agree, or CDash's link shows an empty build.

Obeys: CDash 5.3, SubmissionController.php. Reads only the beginning of a document; no network.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from ctest_xml.errors import BadInput

_ENOUGH_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The names by which CDash finds a build."""

    build: str
    site: str
    stamp: str
    subproject: str = ""


def identity_of(path: Path) -> Identity:
    """Return the build that a document belongs to. Raises BadInput if it names none, OSError if it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_ENOUGH_BYTES)
    attributes: dict[str, str] = {}
    texts: dict[str, str] = {}
    stack: list[str] = []

    def start(name: str, given: dict[str, str]) -> None:
        stack.append(name)
        if stack == ["Site"]:
            attributes.update(given)
        if stack == ["Site", "Subproject"]:
            texts["Subproject"] = given.get("name", "")

    def text(piece: str) -> None:
        if len(stack) == 2 and stack[0] == "Update":
            texts[stack[1]] = texts.get(stack[1], "") + piece

    def no_doctype(*_: object) -> None:
        raise ValueError("a document type declaration is not allowed")  # its entities could fill all memory

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = no_doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    try:
        parser.Parse(head, len(head) < _ENOUGH_BYTES)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an unknown encoding; no_doctype
        raise BadInput(f"{path} is not XML that CDash takes ({error}); write it again, or see `check`") from error
    identity = Identity(
        build=attributes.get("BuildName") or texts.get("BuildName", ""),
        site=attributes.get("Name") or texts.get("Site", ""),
        stamp=attributes.get("BuildStamp") or texts.get("BuildStamp", ""),
        subproject=texts.get("Subproject", ""),
    )
    if not (identity.build and identity.site and identity.stamp):
        raise BadInput(f"{path} does not name build, site and stamp, so CDash would find no build for it; see `check`")
    return identity
