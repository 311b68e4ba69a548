r"""Reads a log's bytes as the lines that a person sees: other encodings, line ends of terminals, stamps of log collectors.

    lines = LogLines(chunks)
    for text in lines: ...            # UTF-8, each line ended by LF
    lines.number(17)                  # the line of the log, as an editor counts them, that line 17 of the text begins in

UTF-16 and UTF-32 become UTF-8. CR LF is a line end; a bare CR, a NUL and a movement of the cursor end a line for the rules,
but not for the count. Stamps before each line are cut off. Knows nothing of rules. Obeys: GitLab Runner 17, FF_TIMESTAMPS
(`2024-05-14T11:19:20.000000Z 00O+text`, where `+` goes on with the line before).
"""

import codecs
import itertools
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, which begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD_BYTES = 64
"""Enough to see that every second byte is NUL: UTF-16 without a mark, as some collectors store it."""

_MOVE = re.compile(rb"\x1b\[[0-9;]*[ABEFGHdf]")
"""Up, down, to a column or a place: what follows stands on another line, or over the text before."""
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-9;]*[ABEFGHdf]?)?\Z")
_TAIL_BYTES = 64
"""No movement of the cursor is as long."""

_PREFIX_BYTES = 256
"""More than any stamp."""
_GITLAB = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z [0-9a-f]{2}[OE]([+ ])"
_PROCESS = rb"[A-Za-z0-9._-]+ [A-Za-z0-9._/@-]+\[[0-9]+\]: "
_STAMPS = (
    rb"\[?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?\]? +",
    rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} (?:" + _PROCESS + rb")?",
    rb"\[?[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?\]? +",
    rb"[0-9]{10}\.[0-9]{3,9} ",
    rb"\[ *[0-9]+\.[0-9]{3,9}\] ",
    rb"#[0-9]+ (?:[0-9]+\.[0-9]{1,3} |(?=ERROR: ))",
    rb"\[pod/[^\]\s]+\] ",
    rb"[a-z][A-Za-z0-9.-]*[_-][0-9]+ +\| ",
)
"""RFC 3339 and its kin (docker, GitHub, Jenkins), syslog and journalctl, `ts`, dmesg, BuildKit, kubectl, compose."""
_PREFIX = re.compile(
    rb"\n(?:" + _GITLAB + rb"(?:" + rb"|".join(_STAMPS) + rb"){0,2}|(?:" + rb"|".join(_STAMPS) + rb"){1,3})"
)
# The two marks that travel within the text until lines are counted. Neither byte is left in it otherwise.
_SOFT_END, _JOINED = b"\r\n", b"\0"
_MARK = re.compile(rb"\r\n|\r?\0")
_KEPT_MARKS = 1 << 20
"""Twice the marks that fit into what the caller may still ask for: a block of text."""


class _Marks:
    """Where in the text a mark stood: lines, from 0, in order. Of a long log the last ones are kept, and a count."""

    def __init__(self) -> None:
        self._lines = array("Q")
        self._gone = 0

    def add(self, line: int) -> None:
        self._lines.append(line)
        if len(self._lines) > _KEPT_MARKS:
            del self._lines[: _KEPT_MARKS // 2]
            self._gone += _KEPT_MARKS // 2

    def before(self, line: int) -> int:
        """Return how many marks stood in earlier lines."""
        return self._gone + bisect_left(self._lines, line) if self._lines else 0


class LogLines:
    """A stream of text with the line numbers of the log that it came from. It can be iterated once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._line = -1  # of the text, from 0; the line end that is put before the first line counts
        self._soft = _Marks()
        """The lines of the text that end where the log's line goes on."""
        self._joined = _Marks()
        """The lines of the text within which a line of the log ends; one may stand there several times."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the text in pieces of about the chunks' size."""
        is_first = True
        for piece in self._counted(_without_stamps(_with_line_ends(_decoded(self._chunks)))):
            text = piece[1:] if is_first else piece  # the first byte is the line end that was put there
            is_first = is_first and not piece
            if text:
                yield text

    def number(self, line: int) -> int:
        """Return the log's line in which a line of the text begins, both from 1: any of the last thousands."""
        return line - self._soft.before(line - 1) + self._joined.before(line - 1)

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            at = 0
            if b"\r" in piece or b"\0" in piece:
                for mark in _MARK.finditer(piece):
                    self._line += piece.count(b"\n", at, mark.start())
                    at = mark.end()
                    if mark[0] == _JOINED:
                        self._joined.add(self._line)
                    else:
                        self._soft.add(self._line)
                        self._line += 1
            self._line += piece.count(b"\n", at)
            yield _MARK.sub(_unmarked_end, piece) if at else piece


def _unmarked_end(mark: re.Match[bytes]) -> bytes:
    return b"" if mark[0] == _JOINED else b"\n"


def _decoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield UTF-8, whatever the log's first bytes say that it is."""
    rest = iter(chunks)
    head = b""
    while len(head) < _HEAD_BYTES and (chunk := next(rest, None)) is not None:
        head += chunk
    mark, encoding = encoding_of(head)
    if encoding == "utf-8":  # bytes that are not UTF-8 stay: a log may hold any
        yield head[len(mark) :]
        yield from rest
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(head[len(mark) :]).encode("utf-8", "replace")
    for chunk in rest:
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def encoding_of(head: bytes) -> tuple[bytes, str]:
    """Return the mark that a log begins with, which may be empty, and its encoding; UTF-8 if nothing says another."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return mark, name
    even, odd = head[:_HEAD_BYTES:2], head[1:_HEAD_BYTES:2]
    if len(odd) == _HEAD_BYTES // 2:
        if not odd.strip(b"\0") and b"\0" not in even:
            return b"", "utf-16-le"
        if not even.strip(b"\0") and b"\0" not in odd:
            return b"", "utf-16-be"
    return b"", "utf-8"


def _with_line_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text with LF at each of the log's line ends, and a mark where a line ends only for the rules."""
    held = b""
    starts_line = True
    for chunk in chunks:
        text = held + chunk if held else chunk
        held = b""
        if b"\r" in text or b"\0" in text or b"\x1b" in text:
            text, held = _cut(text)
            text = _with_bare_ends(text)
            text = text.removeprefix(b"\r") if starts_line else text  # nothing is overwritten: no line ends here
            text = text.replace(b"\n\r", b"\n").replace(b"\r", _SOFT_END)
        if text:
            starts_line = text.endswith(b"\n")
            yield text
    yield _with_bare_ends(held).replace(b"\r", b"")


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """Cut off the end of a piece that only the next one explains: a CR may stand before LF, a sequence may go on."""
    bare, before = text, b""
    while bare != before:
        before = bare
        bare = bare.rstrip(b"\r\0")
        unfinished = _UNFINISHED.search(bare, max(0, len(bare) - _TAIL_BYTES))
        bare = bare[: unfinished.start()] if unfinished else bare
    return bare, _with_bare_ends(text[len(bare) :])


def _with_bare_ends(text: bytes) -> bytes:
    """Return the text with one CR for all that ends a line only for the rules; a run of such ends is one."""
    text = text.replace(b"\r\n", b"\n")
    if b"\x1b[" in text:
        text = _MOVE.sub(b"\r", text)
    text = text.replace(b"\0", b"\r")
    while b"\r\r" in text:
        text = text.replace(b"\r\r", b"\r")
    return text.replace(b"\r\n", b"\n")


def _without_stamps(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text without stamps, after a line end that is not the log's."""
    held = b"\n"  # from the last line end on: a stamp that follows may need more bytes, and may take the line end away
    is_first = True
    for piece in itertools.chain(pieces, (None,)):
        text = held + (piece or b"")
        held = b""
        end = text.rfind(b"\n")
        if piece is not None and 0 <= end >= len(text) - _PREFIX_BYTES:
            end -= text[end - 1 : end] == b"\r"  # a mark stays whole
            text, held = text[:end], text[end:]
        if text:
            text = _PREFIX.sub(_line_start, text)
            yield b"\n" + text[1:] if is_first else text  # the first line goes on with none
            is_first = False


def _line_start(match: re.Match[bytes]) -> bytes:
    return _JOINED if match[1] == b"+" else b"\n"
