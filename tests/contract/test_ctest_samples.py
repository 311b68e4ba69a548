"""Clause: with the rules `ctest`, every event of real ctest output (4.4.4 and 3.25.1) comes out equal in every field."""

from pathlib import Path

import pytest
from lxml import etree

from ctest_xml.model import LogEvent
from ctest_xml.places import Tree
from ctest_xml.scan import Limits, scan
from ctest_xml.text import clean
from tests.labs.cdash_schemas import shared

SAMPLES = {
    "caps-4.4": 100,
    "clean-4.4": 0,
    "plain-instr-4.4": 5,
    "plain-scrape-3.25": 12,
    "plain-scrape-4.4": 12,
    "regex-oracle-4.4": 28,
    "scrape-3.25": 7,
    "scrape-4.4": 7,
}
Fields = tuple[str, int, list[str]]


def ours(event: LogEvent) -> Fields:
    line = "" if event.file_line is None else str(event.file_line)
    texts = (clean(text) for text in (event.text, event.file, line, event.pre_context, event.post_context))
    return event.kind, event.log_line, list(texts)


def theirs(node: etree._Element) -> Fields:
    tags = ("Text", "SourceFile", "SourceLineNumber", "PreContext", "PostContext")
    return str(node.tag).lower(), int(node.findtext("BuildLogLine", "0")), [node.findtext(tag) or "" for tag in tags]


def wanted(sample: Path) -> tuple[Tree, list[Fields]]:
    build = etree.parse(sample / "Build.xml").find("Build")
    assert build is not None
    nodes = [node for node in build if node.tag in {"Error", "Warning"} and not _is_of_exit_code(node)]
    tree = Tree(
        source_directory=build.findtext("SourceDirectory") or "/build/ctest-sample/lab/proj",
        build_directory=build.findtext("BinaryDirectory") or f"/build/ctest-sample/lab/bld-{sample.name}",
        keep_slash="4.4" in sample.name,
    )
    return tree, [theirs(node) for node in nodes]


def _is_of_exit_code(node: etree._Element) -> bool:
    """Tell whether ctest made the event from the build command's exit code, so that no line of the log holds it."""
    return (node.findtext("Text") or "").startswith("*** WARNING non-zero return value")


@pytest.mark.parametrize("use_re2", [True, False], ids=["re2", "stdlib"])
@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_field_of_every_event_is_equal(name: str, *, use_re2: bool) -> None:
    sample = shared(f"ctest/{name}")
    tree, expected = wanted(sample)
    log = next(sample.glob("LastBuild_*.log"))
    with log.open("rb") as file:
        events = list(scan(file, rules="ctest", tree=tree, limits=Limits(), use_re2=use_re2))
    assert len(events) == SAMPLES[name]
    assert [ours(event) for event in events] == expected


def test_the_samples_hold_171_events() -> None:
    assert sum(SAMPLES.values()) == 171


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_the_chunks_of_a_real_log_change_nothing(size: int) -> None:
    log = next(shared("ctest/caps-4.4").glob("LastBuild_*.log")).read_bytes()
    chunks = [log[start : start + size] for start in range(0, len(log), size)]
    assert list(scan(chunks, rules="ctest")) == list(scan([log], rules="ctest"))
