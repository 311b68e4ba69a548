import gzip
from pathlib import Path

import pytest
from lxml import etree

from ctest_xml.convert import Conversion, convert
from ctest_xml.errors import BadInput
from ctest_xml.model import Site
from ctest_xml.write import Counts


def site(_: float) -> Site:
    return Site(name="runner", build_name="zlib", build_stamp="20261122-0742-Spack")


LOG = b"a.c:3:2: error: bad\nb.c:4: warning: odd\n"


@pytest.mark.parametrize("name", ["build.log", "build.log.gz"])
def test_a_log_becomes_a_build_a_note_and_an_upload(tmp_path: Path, name: str) -> None:
    log, out = tmp_path / name, tmp_path / "out"
    log.write_bytes(gzip.compress(LOG) if name.endswith(".gz") else LOG)
    assert convert(log, out, site=site, how=Conversion()).counts == Counts(errors=1, warnings=1)
    assert sorted(path.name for path in out.iterdir()) == ["Build.xml", "Notes.xml", "Upload.xml"]
    note = etree.parse(out / "Notes.xml").find(".//Note")
    assert note is not None
    assert (note.get("Name"), note.findtext("Text")) == ("build.log", LOG.decode())


def test_the_first_error_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"b.c:4: warning: odd\n" + LOG + LOG)
    first = convert(tmp_path / "log", tmp_path / "out", site=site, how=Conversion()).first_error
    assert first
    assert (first.log_line, first.text) == (2, "a.c:3:2: error: bad")


def test_what_the_limit_leaves_out_is_counted_without_its_details(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG * 1000)
    found = convert(tmp_path / "log", tmp_path / "out", site=site, how=Conversion(limit=10))
    assert found.counts == Counts(errors=10, warnings=10, errors_left_out=990, warnings_left_out=990)
    tree = etree.parse(tmp_path / "out" / "Build.xml")
    assert [node.text for node in tree.iterfind(".//SourceFile")] == ["a.c", "b.c"] * 10


@pytest.mark.parametrize("body", [gzip.compress(LOG * 100, mtime=0)[:40], b"\x1f\x8b no gzip", b"", bytes(5000)])
def test_a_log_that_cannot_be_read_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "log.gz").write_bytes(body)
    with pytest.raises(BadInput, match=r"log\.gz"):
        convert(tmp_path / "log.gz", tmp_path / "out", site=site, how=Conversion())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG)
    with pytest.raises(BadInput, match="a folder that can be written"):
        convert(tmp_path / "log", tmp_path / "log", site=site, how=Conversion())
