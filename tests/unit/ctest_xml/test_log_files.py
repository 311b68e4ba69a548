import bz2
import gzip
import lzma
import os
import random
import tarfile
from pathlib import Path

import pytest

from ctest_xml.errors import BadInput
from ctest_xml.log_files import base_name, plain_log

LOG = b"checking\na.c:3:2: error: bad\n" * 50
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + bytes(range(256)) * 40


def read(log: Path, scratch: Path) -> bytes:
    with plain_log(log, scratch=scratch) as plain:
        return plain.read_bytes()


@pytest.mark.parametrize(
    "packed",
    [
        LOG,
        gzip.compress(LOG),
        lzma.compress(LOG),
        bz2.compress(LOG),
        gzip.compress(LOG[:100]) + gzip.compress(LOG[100:]),
        lzma.compress(gzip.compress(LOG)),
    ],
    ids=["plain", "gzip", "xz", "bzip2", "two members", "gzip in xz"],
)
def test_a_log_is_unpacked_by_what_it_holds(packed: bytes, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for name in ("log", "log.txt", "log.gz", "log.xz"):
        (tmp_path / name).write_bytes(packed)
        assert read(tmp_path / name, scratch) == LOG
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: nothing in it says how the build went"),
        (b"\n \r\n", "is empty"),
        (bytes(100_000), "is empty"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(LOG)[:-9], "ends within its gzip data"),
        (lzma.compress(LOG)[:-9], "ends within its xz data"),
        (bz2.compress(LOG)[:-9], "ends within its bzip2 data"),
        (gzip.compress(LOG) + b"rubbish", "its gzip data are damaged"),
        (b"\x1f\x8b\x00rubbish rubbish rubbish", "its gzip data are damaged"),
        (b"\x28\xb5\x2f\xfd\x04", "is compressed by zstd; unpack it with `zstd -d`, and give the log itself"),
        (b"PK\x03\x04....", "is a zip archive"),
        (b"\x1f\x9d....", "is compressed by compress"),
        (ELF, "is not a log but binary data"),
        (gzip.compress(ELF), "is not a log but binary data"),
        (random.Random(1).randbytes(5000), "is not a log but binary data"),
    ],
)
def test_what_cannot_be_read_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    log, scratch = tmp_path / "build.log", tmp_path / "scratch"
    scratch.mkdir()
    log.write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        read(log, scratch)
    assert str(caught.value).startswith(str(log))
    assert list(scratch.iterdir()) == []


def test_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(LOG)
    with tarfile.open(tmp_path / "logs.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.log", "a.log")
    with pytest.raises(BadInput, match="is a tar archive; unpack it with `tar xf`"):
        read(tmp_path / "logs.tar.gz", tmp_path)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("/nowhere/log", "is not a file"),
        ("n" * 300, "is not a file"),
        ("/", "is a folder; give the path of a build log in it"),
        ("/dev/null", "is a device"),
        ("/dev/zero", "is a device"),
    ],
)
def test_what_is_no_file_is_refused(log: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        read(Path(log), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x01ansi \x1b[31mred\x1b[0m \xff\n" * 3,
        b"ok\n" + bytes(50_000) + b"error: x\n",
        "größer: Fehler\n".encode("latin-1") * 100,
        "error: é\r\n".encode("utf-16"),
        ("error: x\r\n" * 20).encode("utf-16-le"),
        b"10%\b\b\b20%\b\b\b\n" * 50,
        "ошибка: нет\n".encode("koi8-r") * 100,
    ],
    ids=["control", "NULs", "latin-1", "UTF-16", "UTF-16 without a mark", "backspaces", "koi8-r"],
)
def test_odd_bytes_do_not_make_a_log_binary(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    assert read(tmp_path / "log", tmp_path) == content


def test_a_log_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(LOG)
    log.chmod(0)
    if os.access(log, os.R_OK):
        pytest.skip("needs a user whom permissions bind: root reads every file")
    with pytest.raises(BadInput, match="Permission denied; give a readable log"):
        read(log, tmp_path)


def test_names_lose_what_they_are_packed_with() -> None:
    names = [base_name(Path(name)) for name in ("a/b.txt.gz", "b.txt.xz", "b.bz2", "b.txt", ".gz", "-")]
    assert names == ["b.txt", "b.txt", "b", "b.txt", ".gz", "stdin.txt"]
