"""Opens a log whatever it is: a file, plain or packed, a pipe, standard input; refuses what cannot be a log.

The contents decide how it is packed, not the name. Knows nothing of documents. Raises BadInput for the log, OSError for the
folder of its copies.
"""

import bz2
import gzip
import lzma
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ctest_xml.errors import BadInput
from ctest_xml.log_lines import encoding_of

STANDARD_INPUT = Path("-")
SUFFIXES = (".gz", ".xz", ".bz2", ".lzma")
_OPENERS: tuple[tuple[bytes, str, Callable[[Path], BinaryIO]], ...] = (
    (b"\x1f\x8b", "gzip", cast("Callable[[Path], BinaryIO]", gzip.open)),
    (b"\xfd7zXZ\x00", "xz", cast("Callable[[Path], BinaryIO]", lzma.open)),
    (b"BZh", "bzip2", cast("Callable[[Path], BinaryIO]", bz2.open)),
)
_TO_UNPACK = (
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -d"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "lz4 -d"),
    (b"\x1f\x9d", "compressed by compress", "gzip -d"),
    (b"PK\x03\x04", "a zip archive", "unzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x"),
)
_DEEPEST = 3
_PIECE_BYTES = 1 << 18
_HEAD_BYTES = 1 << 16
_TAR = b"ustar"
_TAR_AT = 257
_CONTROLS = bytes({*range(1, 8), *range(14, 27), *range(28, 32), 127})
"""No text has many of these; NUL, TAB, line ends, BS, FF, ESC are in logs."""
_FEW_CONTROLS = 32


def base_name(log: Path) -> str:
    """Return a log's name for documents, without the ending of a packed one."""
    if log == STANDARD_INPUT:
        return "stdin.txt"
    return next((log.name.removesuffix(end) for end in SUFFIXES if log.name.endswith(end)), log.name) or log.name


@contextmanager
def plain_log(log: Path, *, scratch: Path, copied: Callable[[int], None] = lambda _: None) -> Iterator[Path]:
    """Yield the path of a log's plain text: its own, or that of a copy in `scratch`, deleted at the end of the `with`.

    `copied` is called with the size of each piece of a copy.
    """
    with _opened(log) as (file, is_regular), tempfile.TemporaryDirectory(dir=scratch, prefix=".log.") as folder:
        plain = log
        if not is_regular:
            plain = Path(folder, "0")
            _copy(file, log, plain, copied)
        for depth in range(1, _DEEPEST + 1):
            head = _head(plain)
            packing, opener = next(((name, opens) for magic, name, opens in _OPENERS if head.startswith(magic)), ("", None))
            if opener is None:
                break
            copy = Path(folder, str(depth))
            with opener(plain) as packed:
                _copy(packed, log, copy, copied, packing=packing)
            plain = copy
        _refuse_no_text(log, plain)
        yield plain


@contextmanager
def _opened(log: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Yield the log opened, and whether it is a regular file."""
    if log == STANDARD_INPUT:
        yield sys.stdin.buffer, False
        return
    try:
        if not os.path.exists(log):  # noqa: PTH110  a name that is too long is an error to pathlib, and not absence
            raise BadInput(f"{log} is not a file; give the path of a build log")
        mode = log.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadInput(f"{log} is a folder; give the path of a build log in it")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise BadInput(f"{log} is a device; give the path of a build log")
        file = log.open("rb")
    except OSError as error:
        raise BadInput(f"{log}: {error.strerror}; give a readable log") from error
    with file:
        yield file, stat.S_ISREG(mode)


def _copy(source: BinaryIO, log: Path, to: Path, copied: Callable[[int], None], *, packing: str = "") -> None:
    """Copy a stream into a file. An error of reading is the log's, one of writing is the folder's."""
    with to.open("wb") as out:
        while True:
            try:
                piece = source.read(_PIECE_BYTES)
            except EOFError as error:
                raise BadInput(
                    f"{log} ends within its {packing} data; give the whole file, or unpack what there is"
                ) from error
            except (OSError, zlib.error, lzma.LZMAError) as error:
                what = f"its {packing} data are damaged" if packing else "it cannot be read"
                raise BadInput(f"{log}: {what}: {error}; give a readable log") from error
            if not piece:
                return
            out.write(piece)
            copied(len(piece))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; give a readable log") from error


def _refuse_no_text(log: Path, plain: Path) -> None:
    """Refuse what would be read as a log without errors, and is none."""
    head = _head(plain)
    name = "standard input" if log == STANDARD_INPUT else str(log)
    if not head.strip(b"\0 \t\r\n"):
        with plain.open("rb") as file:
            if not any(piece.strip(b"\0 \t\r\n") for piece in iter(lambda: file.read(_PIECE_BYTES), b"")):
                raise BadInput(f"{name} is empty: nothing in it says how the build went; give the log of a build")
    for magic, what, command in _TO_UNPACK:
        if head.startswith(magic):
            raise BadInput(f"{name} is {what}; unpack it with `{command}`, and give the log itself")
    if head[_TAR_AT:].startswith(_TAR):
        raise BadInput(f"{name} is a tar archive; unpack it with `tar xf`, and give the log itself")
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if encoding_of(head)[1] == "utf-8" and controls > max(_FEW_CONTROLS, len(head) // 20):
        raise BadInput(f"{name} is not a log but binary data; give the text that the build printed")
