import base64
import gzip
import io
import re
import zlib
from collections.abc import Callable
from typing import BinaryIO

import pytest
from lxml import etree

from ctest_xml import write
from ctest_xml.model import (
    Build,
    Command,
    Configure,
    Done,
    Failure,
    LogEvent,
    Measurement,
    Note,
    Site,
    Test,
    Testing,
    Update,
    Upload,
)

SITE = Site(name="lab & <co>", build_name="zlib %gcc@12", build_stamp="20261122-0742-Spack", memory_bytes=2 << 30)


def written(writer: Callable[[BinaryIO], object]) -> etree._Element:
    out = io.BytesIO()
    writer(out)
    return etree.fromstring(out.getvalue(), etree.XMLParser(huge_tree=True, strip_cdata=False))


def events(count: int) -> list[LogEvent]:
    return [
        LogEvent(kind="error", log_line=line, text=f"error {line}", post_context="after\n") for line in range(1, count + 1)
    ]


def build_with(**parts: object) -> Build:
    return Build(start_seconds=1.7e9, end_seconds=1.7e9 + 60, command="make", **parts)  # type: ignore[arg-type]


def test_the_last_error_within_the_limit_says_how_many_were_left_out() -> None:
    out = io.BytesIO()
    counts = write.build(out, site=SITE, build=build_with(events=events(120)), limit=50)
    assert counts == write.Counts(errors=50, errors_left_out=70)
    contexts = [str(node.text) for node in etree.fromstring(out.getvalue()).findall(".//PostContext")]
    assert "[70 more errors left out here" in contexts[-1]
    assert [context for context in contexts if "left out" in context] == contexts[-1:]


def test_exactly_as_many_errors_as_the_limit_leave_nothing_out() -> None:
    root = written(lambda out: write.build(out, site=SITE, build=build_with(events=events(50)), limit=50))
    assert len(root.findall(".//Error")) == 50
    assert "left out" not in etree.tostring(root, encoding="unicode")


def test_no_limit_means_as_many_as_a_smallint_counts() -> None:
    counts = write.build(io.BytesIO(), site=SITE, build=build_with(events=events(32_770)), limit=0)
    assert (counts.errors, counts.errors_left_out) == (32_767, 3)


def test_fields_of_which_cdash_keeps_the_last_fragment_are_cdata() -> None:
    out = io.BytesIO()
    failure = Failure(arguments=("cc", '-DX="1"&'), exit_condition="1")
    build = Build(start_seconds=1, end_seconds=2, command="a <b> 2>&1 | tee log", labels=("x & y",), failures=[failure])
    write.build(out, site=SITE, build=build)
    text = out.getvalue().decode()
    assert "<BuildCommand><![CDATA[a <b> 2>&1 | tee log]]></BuildCommand>" in text
    assert "<Label><![CDATA[x & y]]></Label>" in text
    assert '<Argument><![CDATA[-DX="1"&]]></Argument>' in text


@pytest.mark.parametrize("marker", ["Update", "Build", "Configure", "testsuite"])
def test_no_text_can_pass_for_another_kind_of_document(marker: str) -> None:
    out = io.BytesIO()
    write.build(out, site=SITE, build=Build(start_seconds=1, end_seconds=2, command=f"echo '<{marker} x'"))
    body = out.getvalue().split(b"<BuildCommand>")[1]
    assert f"<{marker}".encode() not in body.replace(b"</BuildCommand>", b"")


def test_the_kind_of_a_document_shows_in_its_first_8192_bytes_whatever_the_names() -> None:
    wild = '&<">' * 300
    site = Site(name=wild, build_name=wild, build_stamp=wild, subproject=wild, generator=wild, os_name=wild, cpu_vendor=wild)
    out = io.BytesIO()
    write.configure(out, site=site, configure=Configure(start_seconds=1, end_seconds=2, command="c", log="l"))
    assert b"<Configure" in out.getvalue()[:8192]


def test_a_command_without_a_finite_measurement_gets_its_duration() -> None:
    command = Command(
        command="make", start_seconds=5, duration_seconds=1.5, measurements=(Measurement(name="x", value=float("nan")),)
    )
    node = written(lambda out: write.build(out, site=SITE, build=build_with(commands=[command]))).find(".//Custom")
    assert node is not None
    assert (node.get("timeStart"), node.get("duration")) == ("5000", "1500")
    assert [measurement.get("name") for measurement in node] == ["DurationMilliseconds"]


def test_sizes_are_sent_in_the_units_of_cdash() -> None:
    site = Site(name="a", build_name="b", build_stamp="c", memory_bytes=3 << 30, cpu_clock_hertz=2.4e9, cpu_cache_bytes=4096)
    root = written(lambda out: write.testing(out, site=site, testing=Testing(start_seconds=1, end_seconds=2)))
    assert root.get("TotalPhysicalMemory") == "3072"
    assert root.get("ProcessorClockFrequency") == "2400"
    assert root.get("ProcessorCacheSize") == "4"


def test_long_output_of_a_test_is_zlib() -> None:
    test = Test(name="configure", status="passed", output="checking …\n\x1b[1m" * 1000)
    root = written(lambda out: write.testing(out, site=SITE, testing=Testing(start_seconds=1, end_seconds=2, tests=[test])))
    value = root.find(".//Measurement/Value")
    assert value is not None
    assert (value.get("encoding"), value.get("compression")) == ("base64", "gzip")
    text = zlib.decompress(base64.b64decode(str(value.text))).decode()
    assert text.startswith("checking …\n[NON-XML-CHAR-0x1B][1m")


def test_the_name_of_a_test_is_cut_at_255_bytes_between_characters() -> None:
    test = Test(name="é" * 300, status="failed")
    root = written(lambda out: write.testing(out, site=SITE, testing=Testing(start_seconds=1, end_seconds=2, tests=[test])))
    assert root.findtext(".//Test/Name") == "é" * 127


def test_a_note_over_two_megabytes_holds_head_and_tail_and_says_so() -> None:
    log = "".join(f"line {number}\n" for number in range(300_000))
    root = written(lambda out: write.notes(out, site=SITE, notes=[Note(name="log", text=log, time_seconds=1)]))
    text = root.findtext(".//Text")
    assert text is not None
    assert text.startswith("line 0\n")
    assert text.endswith("line 299999\n")
    head, said, tail = re.split(r"\n\[\.\.\. (\d+) of \d+ bytes left out here; .*\]\n", text)
    assert int(said) == len(log) - len(head) - len(tail)


def test_notes_without_text_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one note"):
        write.notes(io.BytesIO(), site=SITE, notes=[Note(name="log", text="", time_seconds=1)])


@pytest.mark.parametrize(
    ("name", "on_cdash"),
    [
        ("a/Makefile", "Makefile.txt"),
        ("spack-build-out.txt", "spack-build-out.txt"),
        ("..", "file.txt"),
        ("C:\\x\\y.log", "y.log"),
    ],
)
def test_an_upload_has_a_plain_name_with_an_extension(name: str, on_cdash: str) -> None:
    assert write.upload_name(Upload(name=name, content="")) == on_cdash


def test_a_compressed_upload_is_a_gzip_file() -> None:
    uploads = [Upload(name="log.txt", content=b"\0raw\n" * 100_000, compress=True)]
    root = written(lambda out: write.upload(out, site=SITE, uploads=uploads, time_seconds=1))
    file = root.find(".//File")
    assert file is not None
    assert file.get("filename") == "log.txt.gz"
    assert gzip.decompress(base64.b64decode(str(file.findtext("Content")))) == b"\0raw\n" * 100_000


def test_the_identity_is_the_same_in_every_document() -> None:
    site = Site(name="o'neil's", build_name="a\n<b>", build_stamp="20261122-0742-Spack")
    update = written(lambda out: write.update(out, site=site, update=Update(start_seconds=1, end_seconds=2, revision="abc")))
    notes = written(lambda out: write.notes(out, site=site, notes=[Note(name="n", text="t", time_seconds=1)]))
    assert [update.findtext(tag) for tag in ("Site", "BuildName", "BuildStamp")] == [
        notes.get(name) for name in ("Name", "BuildName", "BuildStamp")
    ]
    assert notes.get("Name") == "o`neil`s"


def test_done_names_the_build() -> None:
    root = written(lambda out: write.done(out, done=Done(build_id="4711", time_seconds=12.7)))
    assert (root.findtext("buildId"), root.findtext("time")) == ("4711", "12")


def test_a_failure_shows_what_is_known_of_it_and_counts() -> None:
    failure = Failure(
        kind="warning",
        arguments=(),
        exit_condition="Killed: out of memory",
        working_directory="/stage",
        target_name="zlib",
        language="C",
        labels=("zlib", ""),
        stderr=b"last words\xff",
    )
    out = io.BytesIO()
    build = build_with(failures=[failure] * 3, events=events(1), source_directory="/src", binary_directory="/bld")
    counts = write.build(out, site=SITE, build=build, limit=2)
    assert counts == write.Counts(errors=1, warnings=2, warnings_left_out=1)
    root = etree.fromstring(out.getvalue())
    assert [node.get("type") for node in root.findall(".//Failure")] == ["Warning", "Warning"]
    assert [root.findtext(f".//Failure/{path}") for path in ("Action/TargetName", "Command/Argument", "Labels/Label")] == [
        "zlib",
        "",
        "zlib",
    ]
    assert root.findtext(".//Failure/Result/StdErr") == "last words[NON-UTF-8-BYTE-0xFF]"
    assert (root.findtext(".//SourceDirectory"), root.findtext(".//BinaryDirectory")) == ("/src", "/bld")


def test_a_failure_that_uses_up_the_limit_says_nothing_of_the_rest() -> None:
    failure = Failure(arguments=("cc",), exit_condition="1")
    out = io.BytesIO()
    counts = write.build(out, site=SITE, build=build_with(events=[failure] * 3), limit=1)
    assert (counts.errors, counts.errors_left_out) == (1, 2)
    assert b"left out" not in out.getvalue()


def test_the_line_of_a_source_file_is_sent_if_a_column_holds_it() -> None:
    found = [LogEvent(kind="warning", log_line=1, text="w", file="a.c", file_line=line) for line in (7, None, 2**31)]
    root = written(lambda out: write.build(out, site=SITE, build=build_with(events=found)))
    assert [node.findtext("SourceLineNumber") for node in root.findall(".//Warning")] == ["7", None, None]


def test_files_and_images_of_a_test_go_along_in_base64() -> None:
    measurements = (
        Measurement(name="plot", type="image/png", value=b"\x89PNG"),
        Measurement(name="core", type="file", value="content", file_name="dir/core.txt"),
        Measurement(name="odd", value=float("inf")),
    )
    test = Test(name="t", status="passed", measurements=measurements, start_seconds=1.5)
    root = written(lambda out: write.testing(out, site=SITE, testing=Testing(start_seconds=1, end_seconds=2, tests=[test])))
    found = {str(node.get("name")): node for node in root.iter("NamedMeasurement")}
    assert base64.b64decode(str(found["plot"].findtext("Value"))) == b"\x89PNG"
    assert (found["core"].get("filename"), found["core"].get("compression")) == ("core.txt", "tar/gzip")
    assert "odd" not in found
    assert root.findtext(".//Test/StartTestTime") == "1.5"


def test_a_note_without_anything_to_read_says_so() -> None:
    root = written(lambda out: write.notes(out, site=SITE, notes=[Note(name="log", text="\r\r", time_seconds=1)]))
    assert root.findtext(".//Text") == "(empty)"


def test_an_upload_without_files_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one file"):
        write.upload(io.BytesIO(), site=SITE, uploads=[], time_seconds=1)


def test_an_update_may_name_the_commit_before() -> None:
    update = Update(start_seconds=1, end_seconds=2, revision="b", prior_revision="a")
    assert written(lambda out: write.update(out, site=SITE, update=update)).findtext("PriorRevision") == "a"
