import base64
import gzip
import zlib
from pathlib import Path

import pytest

from ctest_xml.check import check, faults_in
from ctest_xml.elements import Began, Ended, SectionEnded, Seen

SITE = 'BuildName="b" BuildStamp="20261122-0742-Spack" Name="h" Generator="g"'


def said(inside: str, site: str = SITE) -> str:
    return " | ".join(map(str, check(f"<Site {site}>{inside}</Site>".encode())))


def a_test(value: str, attributes: str = "", status: str = "passed", name: str = "n") -> str:
    test = f"<Name>{name}</Name><Path>.</Path><FullName>n</FullName><FullCommandLine/>"
    results = f"<Results><Measurement><Value {attributes}>{value}</Value></Measurement></Results>"
    return f'<Testing><Test Status="{status}">{test}{results}</Test></Testing>'


def upload(name: str, content: str = "eA==") -> str:
    return f'<Upload><File filename="{name}"><Content encoding="base64">{content}</Content></File></Upload>'


def build(inside: str) -> str:
    return f"<Build>{inside}</Build>"


EVENT = "<{0}><BuildLogLine>{1}</BuildLogLine><Text/><PreContext/><PostContext/><RepeatCount>0</RepeatCount></{0}>"


@pytest.mark.parametrize("inside", [build("<BuildCommand>make</BuildCommand>"), a_test("x"), upload("a.txt")])
def test_a_good_document_has_no_fault(inside: str) -> None:
    assert not said(inside)


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (upload("Makefile"), "no extension"),
        (upload("a.txt", "%%%%"), "not base64"),
        (upload("a.txt", "eA="), "is missing"),
        (a_test("x", status="skipped"), "CDash would lose the file"),
        (a_test("x", name="n" * 256), "cuts it at 255"),
        (a_test("eHh4eHh4eHg=", 'encoding="base64" compression="gzip"'), "must be zlib"),
        (build("<Log>text</Log>"), "does not store"),
        (build("<Labels><Label>" + "x" * 256 + "</Label></Labels>"), "column holds 255"),
        (build("<Labels><Label>a<![CDATA[b]]></Label></Labels>"), "use one CDATA section"),
        (build(EVENT.format("Warning", 2**31)), "integer column"),
        pytest.param(
            build(EVENT.format("Error", 1) * 32_768), "more than 32767 errors", id="32,768 errors", marks=pytest.mark.long
        ),
        (build("<Error/>"), "holds nothing"),
        (build("text"), "text between its elements"),
        (build("<ElapsedMinutes>soon</ElapsedMinutes>"), "is not of the type decimal"),
        (build("<Targets>" + '<Target name="t" type="X"><Commands/></Target>' * 2 + "</Targets>"), "comes twice"),
        ("<Notes><Note Name='n'><Time>0</Time><Text>t</Text></Note></Notes>", "drops it"),
        ("<Notes><Note Name='n'><Time>5</Time><Text/></Note></Notes>", "has no text"),
    ],
)
def test_what_cdash_would_lose_is_refused_with_the_reason(inside: str, reason: str) -> None:
    assert reason in said(inside)


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        (SITE.replace('"b"', '"o\'neil"'), "second build"),
        (SITE.replace('"b"', '""'), "finds no build"),
        (SITE.replace("20261122-0742-Spack", "today"), "YYYYMMDD-HHMM"),
        (SITE.replace('"h"', f'"{"h" * 256}"'), "column holds 255"),
        (SITE + ' Mood="good"', "Mood is not allowed"),
        (SITE + ' Is64Bits="yes"', "is not of the type short"),
    ],
)
def test_a_bad_identity_is_refused(site: str, reason: str) -> None:
    assert reason in said(build("<BuildCommand/>"), site)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<Site><Build>\x1b</Build></Site>",
        b"<Site><Build>\xff</Build></Site>",
        b"<Site><Build>&nbsp;</Build></Site>",
        b"<Site><Build></Site>",
        b'<?xml version="1.0" encoding="nope"?><Site><Build/></Site>',
    ],
)
def test_what_is_not_well_formed_is_refused(document: bytes) -> None:
    (fault,) = [fault for fault in check(document) if "its XML is broken" in fault.reason]
    assert fault.reason.count("not well-formed") <= 1, "expat says it itself where it is so"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"<Site><Coverage/></Site>", "a document of the kind 'Coverage' is not one"),
        (b"<Site/>", "a document of the kind 'unknown' is not one"),
        (b"<Build/>", "CDash takes this for a document of the kind Build, which begins with Site"),
    ],
)
def test_nothing_more_is_said_of_another_kind_of_document(document: bytes, reason: str) -> None:
    (fault,) = check(document)
    assert reason in fault.reason


def test_a_document_is_checked_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "Build.xml"
    path.write_bytes(f"<Site {SITE}><Build><Mood/></Build></Site>".encode())
    with path.open("rb") as file:
        found = [check(path), check(path.read_bytes()), check(file)]
    assert [str(fault) for faults in found for fault in faults] == ["line 1: Mood: not expected in Build"] * 3


def test_events_are_judged_without_a_document() -> None:
    site = Seen(document="Build", parent="/", name="Site", attributes={}, line=1)
    build = Seen(document="Build", parent="Site", name="Build", attributes={}, line=2)
    section = Seen(document="Build", parent="Build", name="Log", attributes={}, line=3)
    faults = faults_in([Began(site), Began(build), Began(section), SectionEnded(section, 10_000_001, 4), Ended(section, 4)])
    assert [(fault.line, fault.element, fault.reason) for fault in faults] == [
        (1, "Site", "the attribute BuildName is missing"),
        (1, "Site", "the attribute BuildStamp is missing"),
        (1, "Site", "the attribute Name is missing"),
        (4, "Log", "a CDATA section of over 10 MB: CDash stops parsing there"),
    ]


@pytest.mark.long
def test_failures_are_counted_by_their_type() -> None:
    failures = '<Failure type="Warning"/>' * 32_768 + '<Failure type="Error"/>' * 32_767
    assert [fault.reason for fault in check(f"<Site {SITE}><Build>{failures}</Build></Site>".encode())] == [
        "more than 32767 warnings: CDash's counter overflows and the file is lost"
    ]


def test_what_stands_in_a_log_is_not_judged() -> None:
    assert not said("<Notes><Note Name='n'><Time>5</Time><Text>t<any><thing/></any></Text></Note></Notes>")


def test_a_document_type_declaration_ends_the_reading() -> None:
    bomb = b'<!DOCTYPE Site [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Site><Build>&b;</Build></Site>'
    assert [fault.reason for fault in check(bomb)] == ["a document type declaration is not allowed"]


def test_a_stream_in_the_format_of_gzip_is_told_from_zlib() -> None:
    for packed, good in ((zlib.compress(b"x" * 9999), True), (gzip.compress(b"x" * 9999), False)):
        value = base64.b64encode(packed).decode()
        assert bool(said(a_test(value, 'encoding="base64" compression="gzip"'))) is not good


def test_the_superfluous_ending_of_ctest_is_tolerated() -> None:
    assert not said(upload("a.txt", "YXR0YWNoZWQK===="))


def test_at_most_a_hundred_faults_are_listed() -> None:
    assert len(check(f"<Site {SITE}><Build>{'<Error/>' * 500}</Build></Site>".encode())) == 100
