"""CDash's schemas and real samples, where `../shared/data` lies beside the checkout; else tests skip and say so."""

import functools
from pathlib import Path

import pytest
from lxml import etree

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_KINDS = {"Configure": "Configure", "Build": "Build", "Testing": "Test", "Notes": "Notes", "Upload": "Upload"}


def shared(name: str) -> Path:
    """Return a folder or file of ../shared/data; skip the test when it is not there."""
    path = _DATA / name
    if not path.exists():
        pytest.skip("../shared/data (samples and CDash's schemas) is not beside the checkout")
    return path


@functools.cache
def _schema(path: Path) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(path))


def fault(document: bytes) -> str:
    """Return what CDash's schema says against the document, or nothing; the schema is chosen as CDash chooses it."""
    parser = etree.XMLParser(huge_tree=True, resolve_entities=False, no_network=True)
    root = etree.fromstring(document, parser)
    kind = next((_KINDS[str(child.tag)] for child in root if child.tag in _KINDS), str(root.tag))
    schema = _schema(shared("cdash/xsd") / f"{kind}.xsd")
    try:
        schema.assertValid(root)
    except etree.DocumentInvalid as error:
        return str(error)
    return ""
