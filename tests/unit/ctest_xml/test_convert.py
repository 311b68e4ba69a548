import gzip
from pathlib import Path

import pytest
from lxml import etree

from ctest_xml.convert import Conversion, convert
from ctest_xml.errors import BadInput
from ctest_xml.model import Site
from ctest_xml.write import Counts

SITE = Site(name="runner", build_name="zlib", build_stamp="20261122-0742-Spack")
LOG = b"a.c:3:2: error: bad\nb.c:4: warning: odd\n"


@pytest.mark.parametrize("name", ["build.log", "build.log.gz"])
def test_a_log_becomes_a_build_a_note_and_an_upload(tmp_path: Path, name: str) -> None:
    log, out = tmp_path / name, tmp_path / "out"
    log.write_bytes(gzip.compress(LOG) if name.endswith(".gz") else LOG)
    assert convert(log, out, site=SITE, how=Conversion()) == Counts(errors=1, warnings=1)
    assert sorted(path.name for path in out.iterdir()) == ["Build.xml", "Notes.xml", "Upload.xml"]
    note = etree.parse(out / "Notes.xml").find(".//Note")
    assert note is not None
    assert (note.get("Name"), note.findtext("Text")) == ("build.log", LOG.decode())


def test_an_empty_log_has_no_note(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert convert(tmp_path / "log", tmp_path / "out", site=SITE, how=Conversion()) == Counts()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Build.xml", "Upload.xml"]


@pytest.mark.parametrize("body", [gzip.compress(LOG * 100, mtime=0)[:40], b"\x1f\x8b no gzip"])
def test_a_log_that_cannot_be_unpacked_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "log.gz").write_bytes(body)
    with pytest.raises(BadInput, match="give a readable log"):
        convert(tmp_path / "log.gz", tmp_path / "out", site=SITE, how=Conversion())
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG)
    with pytest.raises(BadInput, match="a folder that can be written"):
        convert(tmp_path / "log", tmp_path / "log", site=SITE, how=Conversion())
