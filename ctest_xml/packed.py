"""Checks piece by piece whether CDash could unpack a base64 text, compressed or not. Keeps none of it.

Pure. Obeys: CDash 5.3, app/Utils/TestCreator.php (`gzuncompress`, so zlib and not gzip) and UploadHandler.php.
"""

import base64
import binascii
import zlib
from collections.abc import Iterator

_UNPACKED_LIMIT = 500_000_000
"""PHP's memory_limit of 512 MB holds one element's text."""


class Packed:
    """A base64 text that comes in pieces; with `compressed`, of a zlib stream."""

    def __init__(self, *, compressed: bool) -> None:
        self._rest = ""
        self._inflate = zlib.decompressobj() if compressed else None
        self._unpacked = 0
        self._fault = ""
        self._has_begun = False

    def feed(self, text: str) -> None:
        """Take a piece of the text."""
        if self._fault:
            return
        text = self._rest + "".join(text.split())
        whole = len(text) - len(text) % 4  # base64 has groups of four letters; a piece may end within one
        self._rest = text[whole:]
        try:
            self._unpack(text[:whole])
        except (binascii.Error, ValueError):
            self._fault = "the text is not base64"
        except zlib.error:
            self._fault = "compressed test output must be zlib, not gzip or anything else: CDash would lose the file"

    def _unpack(self, text: str) -> None:
        if self._has_begun and not text.strip("="):  # ctest appends `====` to a text that needs no padding
            return
        raw = base64.b64decode(text, validate=True)
        self._has_begun = self._has_begun or bool(raw)
        while self._inflate and raw:
            self._unpacked += len(self._inflate.decompress(raw, 1 << 20))  # at most a MiB at a time, whatever the ratio
            raw = self._inflate.unconsumed_tail
            if self._unpacked > _UNPACKED_LIMIT:
                raise zlib.error

    def losses(self) -> Iterator[str]:
        """Yield what is wrong with the text as a whole."""
        if self._fault:
            yield self._fault
        elif self._rest.strip("="):
            yield "the end of the base64 text is missing"
        elif self._inflate and not self._inflate.eof:
            yield "compressed test output must be a whole zlib stream: CDash would lose the file"
