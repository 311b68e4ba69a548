from typing import Any

import pytest

from ctest_xml import limits
from ctest_xml.elements import Seen
from ctest_xml.losses import ATTRIBUTE_WIDTHS, TEXT_WIDTHS, losses
from ctest_xml.packed import Packed

IDENTITY = {"BuildName": "b", "BuildStamp": "20261122-0742-Spack", "Name": "h", "Generator": "g"}


def seen(parent: str, name: str, attributes: dict[str, str] | None = None, **parts: Any) -> Seen:
    return Seen(document=parts.pop("document", "Build"), parent=parent, name=name, attributes=attributes or {}, **parts)


def said(element: Seen) -> str:
    return " | ".join(losses(element))


@pytest.mark.parametrize(
    "element",
    [
        seen("/", "Site", IDENTITY),
        seen("Site", "Build"),
        seen("Notes", "Note", {"Name": "n"}, child_texts={"Time": " 5 ", "Text": "t"}),
        seen("Upload", "File", {"filename": "a/b.txt"}),
        seen("File", "Content", {"encoding": "base64"}),
        seen("Testing", "Test", {"Status": "notrun"}),
        seen("Test", "Name", head="é" * 127, size=254),
        seen("Measurement", "Value", {"encoding": "base64", "compression": "gzip"}),
        seen("Configure", "ConfigureStatus", head=" 32767 "),
        seen("Build", "Log"),
        seen("Error", "BuildLogLine", head="2147483647"),
        seen("Error", "BuildLogLine", head="soon"),  # the schema says so, not this
        seen("Commands", "Custom", {"duration": "2147483647"}),
        seen("Custom", "NamedMeasurement", {"type": "x" * 512, "name": "n" * 512}),
        seen("Build", "BuildCommand", keeps_last_fragment=True, sections=1, size=300, characters=300),
        seen("Labels", "Label", keeps_last_fragment=True, plain=True, size=255, characters=255),
    ],
)
def test_what_cdash_stores_whole_is_no_loss(element: Seen) -> None:
    assert said(element) == ""


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (seen("/", "Site", IDENTITY | {"BuildName": " "}), "finds no build"),
        (seen("/", "Site", IDENTITY | {"Name": ""}), "finds no build"),
        (seen("/", "Site", IDENTITY | {"BuildStamp": "20261122-0742-"}), "finds no group"),
        (seen("/", "Site", IDENTITY | {"BuildStamp": "20261122-0742-a'b"}), "makes a second build"),
        (seen("/", "Site", {**IDENTITY, "Name": "h" * 256}), "Name has 256 characters, CDash's column holds 255"),
        (seen("/", "Site", IDENTITY | {"ChangeId": "1" * 41}), "holds 40"),
        (seen("/", "Update", child_texts={"BuildName": "b", "BuildStamp": "today", "Site": "s"}), "finds no group"),
        (seen("Notes", "Note", {"Name": "n"}, child_texts={"Time": "0", "Text": "t"}), "has no Time above 0"),
        (seen("Notes", "Note", {"Name": "n"}, child_texts={"Time": "5"}), "has no text"),
        (seen("Notes", "Note", {"Name": ""}, child_texts={"Time": "5", "Text": "t"}), "has no name"),
        (seen("Upload", "File", {"filename": "a.b/Makefile"}), "no extension"),
        (seen("Upload", "File", {"filename": "a."}), "no extension"),
        (seen("File", "Content"), "not encoding=base64"),
        (seen("Testing", "Test", {"Status": "skipped"}), "Status is not passed"),
        (seen("Test", "Name", size=256), "cuts it at 255"),
        (seen("Measurement", "Value", {"encoding": "base64"}), "stores the base64 text as it is"),
        (seen("Configure", "ConfigureStatus", head="32768"), "not a number of errors"),
        (seen("Configure", "ConfigureStatus", head="-1"), "not a number of errors"),
        (seen("Build", "Log", characters=1), "does not store Build.xml's Log"),
        (seen("Configure", "Commands"), "does not store Configure.xml's Commands"),
        (seen("Warning", "SourceLineNumber", head=" 2147483648"), "integer column"),
        (seen("Commands", "Install", {"duration": "2147483648"}), "the duration is more than"),
        (seen("Results", "NamedMeasurement", {"type": "x" * 71}, document="Testing"), "type has over 70"),
        (seen("Custom", "NamedMeasurement", {"name": "x" * 513}), "holds 512"),
        (seen("Custom", "NamedMeasurement", {"type": "x" * 513}), "type has over 512"),
        (seen("Build", "BuildCommand", keeps_last_fragment=True, entities=1, plain=True), "use one CDATA section"),
        (seen("Build", "BuildCommand", keeps_last_fragment=True, sections=2), "use one CDATA section"),
        (seen("Build", "BuildCommand", keeps_last_fragment=True, size=301), "at most 300"),
        (
            seen("Labels", "Label", keeps_last_fragment=True, characters=256, size=256),
            "256 characters, CDash's column holds 255",
        ),
        (seen("File", "Content", {"encoding": "base64"}, packed=Packed(compressed=True)), "whole zlib stream"),
        (seen("Site", "Any", {"a": "x" * (limits.ATTRIBUTE_BYTES + 1)}), "CDash stops parsing there"),
    ],
)
def test_what_cdash_loses_is_said_with_the_reason(element: Seen, reason: str) -> None:
    assert reason in said(element)


@pytest.mark.parametrize("kind", ["Notes", "Upload"])
def test_some_documents_fail_without_a_generator(kind: str) -> None:
    without = {name: value for name, value in IDENTITY.items() if name != "Generator"}
    assert "no Generator" in said(seen("/", "Site", without, document=kind))
    assert said(seen("/", "Site", without, document="Testing")) == ""


@pytest.mark.parametrize(("place", "width"), list(TEXT_WIDTHS.items()))
def test_every_text_may_be_as_long_as_its_column(place: tuple[str, str], width: int) -> None:
    assert said(seen(*place, characters=width)) == ""
    assert f"{width + 1} characters, CDash's column holds {width}" in said(seen(*place, characters=width + 1))


@pytest.mark.parametrize(("name", "widths"), list(ATTRIBUTE_WIDTHS.items()))
def test_every_attribute_may_be_as_long_as_its_column(name: str, widths: dict[str, int]) -> None:
    for attribute, width in widths.items():
        assert "CDash would lose the file" not in said(seen("x", name, {attribute: "a" * width}))
        assert f"{attribute} has {width + 1} characters" in said(seen("x", name, {attribute: "a" * (width + 1)}))
