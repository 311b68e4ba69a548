"""Streams of content: text or file, whole, as head and tail, compressed, in base64. Memory is bounded.

Knows nothing of XML. CDash 5.3 reads compressed test output with `gzuncompress` (zlib, not gzip; app/Utils/TestCreator.php).
"""

import base64
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from ctest_xml.model import Content, Part
from ctest_xml.text import decoded

_CHUNK = 1 << 16
_LINE = 1 << 14


def opened(content: Content) -> AbstractContextManager[BinaryIO]:
    """Open the content for reading, from wherever it is. Raises OSError for a file that is not there."""
    if isinstance(content, Path):
        return content.open("rb")
    if isinstance(content, Part):
        return io.BufferedReader(_Window(content))
    if isinstance(content, bytes):
        return io.BytesIO(content)
    try:
        return io.BytesIO(content.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # a lone surrogate that is not an escaped byte
        return io.BytesIO(content.encode("utf-8", "surrogatepass"))


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, part: Part) -> None:
        self._file = part.path.open("rb", buffering=0)
        self._start = part.start
        self._size = max(0, min(part.end, part.path.stat().st_size) - part.start)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, target: Any) -> int:
        length = min(len(target), self._size - self._at)
        if length <= 0:
            return 0
        self._file.seek(self._start + self._at)
        block = self._file.read(length)
        target[: len(block)] = block
        self._at += len(block)
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def chunks(content: Content) -> Iterator[bytes]:
    """Yield the content in chunks."""
    with opened(content) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def texts(content: Content) -> Iterator[str]:
    """Yield the content as uncleaned text."""
    return decoded(chunks(content))


def excerpt(content: Content, *, limit_bytes: int) -> Iterator[str]:
    """Yield the content as text; of one over the limit, head and tail, cut at line ends, with a note between them."""
    with opened(content) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size <= limit_bytes:
            yield from decoded(_read(stream, size))
            return
        half = limit_bytes // 2
        head = _whole_lines(stream.read(half))
        stream.seek(size - half)
        tail = stream.read(half)
        first_line = tail.find(b"\n", 0, _LINE) + 1
        # Without a line end nearby, the cut is inside a line; bytes 0x80 to 0xBF are then the rest of a broken character.
        tail = tail[first_line:] if first_line else tail.lstrip(bytes(range(0x80, 0xC0)))
        left_out = size - len(head) - len(tail)
        yield from decoded([head])
        yield f"\n[... {left_out} of {size} bytes left out here; an upload of this build may hold the whole ...]\n"
        yield from decoded([tail])


def _whole_lines(head: bytes) -> bytes:
    last_line = head.rfind(b"\n", max(0, len(head) - _LINE)) + 1
    if last_line:
        return head[:last_line]
    return head[: _border(head)]


def _border(head: bytes) -> int:
    """Return the length of the head without a character of UTF-8 that the cut has broken."""
    for back in range(1, min(4, len(head)) + 1):
        byte = head[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:  # the first byte of a character; its value gives the length
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(head) - back if length > back else len(head)
    return len(head)


def _read(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := stream.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk


def zlibbed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compress a stream as CDash reads test output: zlib."""
    return _deflated(pieces, window=15)


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compress a stream into a gzip file without name or time, so that equal content gives equal bytes."""
    return _deflated(pieces, window=31)


def _deflated(pieces: Iterable[bytes], *, window: int) -> Iterator[bytes]:
    compressor = zlib.compressobj(6, zlib.DEFLATED, window)
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()


def base64_text(pieces: Iterable[bytes]) -> Iterator[str]:
    """Encode a stream as one base64 text, in lines."""
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) // 57 * 57  # 57 bytes make a line of 76 letters
        if whole:
            yield base64.encodebytes(rest[:whole]).decode("ascii")
            rest = rest[whole:]
    if rest:
        yield base64.encodebytes(rest).decode("ascii")


def tar_gz(name: str, content: Content) -> bytes:
    """Return a .tar.gz with the content as its only file: the form of files that CDash attaches to tests."""
    with opened(content) as stream:
        body = stream.read()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(body)
        tar.addfile(member, io.BytesIO(body))
    return b"".join(gzipped([packed.getvalue()]))
