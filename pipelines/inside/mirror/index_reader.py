"""Reads which binaries an index lists, entry by entry: one of 100,000 is 300 MB of JSON, and 1 GB as Python's objects. Pure.

Source: Spack 1.1, lib/spack/spack/database.py (`_write_to_file`): {"database": {"version": text, "installs": {hash: {"spec":
{...}, "in_buildcache": true, ...}}}}. Dependencies that are listed for the sake of others are not in the build cache.
"""

import codecs
import json
from typing import BinaryIO, Iterator, Set

_WINDOW_BYTES = 1 << 20
_LARGEST_ENTRY = 64 << 20
_BLANKS = " \t\r\n"


class NotAnIndex(Exception):  # noqa: N818  named for what it is
    """What was read is no index of Spack's; the message says where it ends."""


class _Text:
    """The part of the text that is needed, read as it is needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._decode = json.JSONDecoder().raw_decode
        self.buffer = ""
        self.place = 0
        self._ended = False

    def more(self) -> bool:
        """Read on, and forget what is used up; return whether there was more."""
        if self._ended:
            return False
        # what is left over is one entry: twice as much each time, so that a large one is not decoded again for each window
        read = self._file.read(max(_WINDOW_BYTES, len(self.buffer) - self.place))
        self._ended = not read
        self.buffer = self.buffer[self.place :] + self._decoder.decode(read, final=self._ended)
        self.place = 0
        if len(self.buffer) > _LARGEST_ENTRY + _WINDOW_BYTES:
            raise NotAnIndex(f"it has an entry of more than {_LARGEST_ENTRY >> 20} MiB")
        return not self._ended

    def next(self) -> str:
        """Return the next character that is not blank, without using it up; nothing at the end."""
        while True:
            while self.place < len(self.buffer) and self.buffer[self.place] in _BLANKS:
                self.place += 1
            if self.place < len(self.buffer):
                return self.buffer[self.place]
            if not self.more():
                return ""

    def take(self, expected: str) -> None:
        """Use up one character. Raises NotAnIndex if it is another one."""
        found = self.next()
        if found != expected:
            raise NotAnIndex(f"it has {found!r} where {expected!r} is expected" if found else "it is cut off")
        self.place += 1

    def value(self) -> object:
        """Use up one value and return it."""
        self.next()
        while True:
            try:
                found, end = self._decode(self.buffer, self.place)
            except ValueError as error:
                if not self.more():
                    raise NotAnIndex(f"it is cut off, or no JSON ({error})") from error
                continue
            except RecursionError as error:
                raise NotAnIndex("it is nested too deep") from error
            # a number may go on in the next window
            if end == len(self.buffer) and isinstance(found, (int, float)) and self.more():
                continue
            self.place = end
            return found


def binaries(file: BinaryIO) -> Set[str]:
    """Return the hashes of the binaries that the index lists. Raises NotAnIndex."""
    text = _Text(file)
    found: Set[str] = set()
    is_there = False
    try:
        for key in _keys(text):
            if key != "database":
                text.value()
                continue
            for inner in _keys(text):
                if inner != "installs":
                    text.value()
                    continue
                is_there = True
                for dag_hash in _keys(text):
                    record = text.value()
                    if isinstance(record, dict) and record.get("in_buildcache", True):
                        found.add(dag_hash)
    except UnicodeDecodeError as error:
        raise NotAnIndex(f"it is no text ({error})") from error
    if not is_there:
        raise NotAnIndex("it has no 'database' with 'installs'")
    return found


def _keys(text: _Text) -> Iterator[str]:
    """Yield the keys of the mapping that comes next; the caller uses up each value."""
    text.take("{")
    if text.next() == "}":
        text.take("}")
        return
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise NotAnIndex(f"it has {key!r} as a key")
        text.take(":")
        yield key
        if text.next() == "}":
            text.take("}")
            return
        text.take(",")
