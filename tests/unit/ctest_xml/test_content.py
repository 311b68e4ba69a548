import base64
import gzip
import io
import re
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctest_xml.content import base64_text, chunks, excerpt, gzipped, opened, tar_gz, texts, zlibbed
from ctest_xml.model import Content, Part

LEFT_OUT = re.compile(r"\n\[\.\.\. (\d+) of (\d+) bytes left out here; .*\]\n")


def part(folder: Path, start: int, end: int) -> Part:
    path = folder / "log"
    path.write_bytes(b"0123456789" * 10)
    return Part(path=path, start=start, end=end)


def test_a_text_its_bytes_a_file_and_a_part_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("é\n".encode())
    contents: list[Content] = ["é\n", "é\n".encode(), path, Part(path=path, start=0, end=99)]
    assert ["".join(texts(content)) for content in contents] == ["é\n"] * 4


@pytest.mark.parametrize(
    ("start", "end", "found"), [(3, 7, b"3456"), (95, 200, b"56789"), (7, 3, b""), (300, 400, b""), (0, 0, b"")]
)
def test_a_part_ends_where_the_file_ends(tmp_path: Path, start: int, end: int, found: bytes) -> None:
    assert b"".join(chunks(part(tmp_path, start, end))) == found


def test_a_part_can_be_read_from_anywhere(tmp_path: Path) -> None:
    with opened(part(tmp_path, 10, 20)) as file:
        assert file.seek(0, io.SEEK_END) == 10
        assert file.seek(4) == 4
        assert file.read(3) == b"456"
        assert file.seek(-2, io.SEEK_CUR) == 5
        assert file.read() == b"56789"


@pytest.mark.parametrize("text", ["\udcff", "\ud800 alone"])
def test_a_lone_surrogate_can_be_read(text: str) -> None:
    assert b"".join(chunks(text))


def test_a_short_content_is_its_own_excerpt() -> None:
    assert "".join(excerpt("0123456789", limit_bytes=10)) == "0123456789"


def test_a_long_content_is_cut_at_line_ends() -> None:
    log = "".join(f"line {number:03}\n" for number in range(100))
    text = "".join(excerpt(log, limit_bytes=100))
    head, missing, whole, tail = LEFT_OUT.split(text)
    assert (head, tail) == (log[:45], log[-45:])
    assert (int(missing), int(whole)) == (len(log) - 90, len(log))


@pytest.mark.long
@given(st.text(alphabet="aé€\U0001f600", min_size=200, max_size=400), st.integers(20, 60))
def test_a_long_line_is_cut_between_characters(line: str, limit: int) -> None:
    head, missing, whole, tail = LEFT_OUT.split("".join(excerpt(line, limit_bytes=limit)))
    assert line.startswith(head)
    assert line.endswith(tail)
    assert len(head.encode()) + int(missing) + len(tail.encode()) == int(whole) == len(line.encode())


@pytest.mark.parametrize("byte", [b"\x80", b"\xff", b"\xc3"])
def test_what_is_not_utf_8_is_cut_somewhere(byte: bytes) -> None:
    assert LEFT_OUT.search("".join(excerpt(byte * 1000, limit_bytes=100)))


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_packed_streams_hold_what_was_packed(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert zlib.decompress(b"".join(zlibbed(pieces))) == whole
    assert gzip.decompress(b"".join(gzipped(pieces))) == whole
    assert base64.b64decode("".join(base64_text(pieces))) == whole


def test_base64_comes_in_lines_whatever_the_pieces() -> None:
    assert "".join(base64_text([b"x" * 10] * 20)) == base64.encodebytes(b"x" * 200).decode()


def test_an_attached_file_is_the_only_one_in_its_archive() -> None:
    packed = tar_gz("a.txt", b"content")
    assert packed == tar_gz("a.txt", "content")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        (member,) = tar.getmembers()
        file = tar.extractfile(member)
        assert file is not None
        assert (member.name, file.read()) == ("a.txt", b"content")
