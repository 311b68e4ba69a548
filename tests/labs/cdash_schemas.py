"""CDash's schemas and real samples, where `../shared/data` lies beside the checkout; without them tests are skipped."""

import functools
from pathlib import Path

import pytest
from lxml import etree

from tests.labs.checkout import ROOT

_DATA = ROOT.parent / "shared" / "data"

_SCHEMAS = {
    kind: "Test" if kind == "Testing" else kind
    for kind in (
        *("Update", "Build", "Configure", "Testing", "CoverageLog", "Coverage"),
        *("Notes", "DynamicAnalysis", "Project", "Upload", "Done"),
    )
}
"""What CDash looks for, in this order (app/Utils/SubmissionUtils.php::get_xml_type) -> its schema."""


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
    """Return the first fault by CDash's schema, or ""; the schema is chosen as CDash chooses it."""
    kind = next((kind for kind in _SCHEMAS if f"<{kind}".encode() in document[:8192]), "")
    if not kind:
        return "no schema for this kind of document"
    parser = etree.XMLParser(huge_tree=True, resolve_entities=False, no_network=True)
    try:
        _schema(shared("cdash/xsd") / f"{_SCHEMAS[kind]}.xsd").assertValid(etree.fromstring(document, parser))
    except (etree.DocumentInvalid, etree.XMLSyntaxError) as error:
        return str(error)
    return ""
