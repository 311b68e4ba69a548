"""Makes text fit for XML: decodes any bytes, cleans as CTest does, cuts to what CDash's columns hold.

Obeys: CMake 4.4, Source/cmXMLSafe.cxx (cleaning); CDash 5.3, database/pgsql-schema.sql (widths). CDash's pages turn
`[NON-XML-CHAR-0x1B]` back into ESC and show the colors.
"""

import codecs
import re
from collections.abc import Iterable, Iterator

from ctest_xml.limits import FRAGMENT_BYTES

_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_MARKERS = re.compile(
    "<(?=Update|Build|Configure|Testing|Coverage|report|Notes|DynamicAnalysis|Project|Upload|testsuite|Done)"
)
_SPACES = re.compile(r"[\t\n]+")


def decode(raw: bytes) -> str:
    """Return bytes as text; each byte that is not UTF-8 becomes a lone surrogate, which `clean` names."""
    return raw.decode("utf-8", "surrogateescape")


def decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the text of a stream of chunks, as `decode` would return it for all of them joined."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def clean(text: str) -> str:
    """Return text that XML can hold, by CTest's convention.

    CR is dropped; other characters that XML forbids become `[NON-XML-CHAR-0x1B]`, bytes that are not UTF-8
    `[NON-UTF-8-BYTE-0xFF]`. Idempotent.
    """
    return _UNCLEAN.sub(_named, text)


def _named(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x0D:
        return ""
    if 0xDC80 <= code <= 0xDCFF:
        return f"[NON-UTF-8-BYTE-0x{code - 0xDC00:X}]"
    return f"[NON-XML-CHAR-0x{code:X}]"


def cut(text: str, *, characters: int) -> str:
    """Clean the text and cut it to a column's width in characters."""
    # Cleaning lengthens a text, except that it drops CR: the first cut keeps enough, and bounds the work.
    return clean(text[: characters + text.count("\r")])[:characters]


def cut_bytes(text: str, *, size: int) -> str:
    """Clean the text and cut it to a number of bytes of UTF-8, between characters."""
    return clean(text[: size + text.count("\r")]).encode()[:size].decode("utf-8", "ignore")


def one_line(text: str, *, size: int = FRAGMENT_BYTES) -> str:
    """Return the text for a field of which CDash keeps only the last fragment: one short line that PHP's parser reads whole.

    Line ends and tabs become spaces; at most 255 bytes (CDash's reads of 8192 bytes never split a text of under 300). `]]>`,
    which would split the CDATA section, gets a space; so do `<Build`, `<Update` …, by which CDash guesses a document's kind.
    """
    joined = _SPACES.sub(" ", cut_bytes(text, size=size))
    apart = _MARKERS.sub("< ", joined.replace("]]>", "]] >"))
    return cut_bytes(apart, size=size)


def clean_name(text: str) -> str:
    """Return a site's, build's or subproject's name for a document: one line of at most 255 bytes, without quotes.

    submit.php doubles `'` in the query string, so that CDash would make a second build.
    """
    return one_line(text.replace("'", "`").replace('"', "`")).strip()
