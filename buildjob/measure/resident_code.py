"""Keeps the machine code of this process in memory while a build thrashes the page cache of the cgroup that both are in.

The kernel takes away the pages of program files as those of any other file. At its memory limit a build then has our
interpreter read from disk again and again, and the thread that waits for it holds up all others: none samples for as long as
the disk is busy. Source: mlock2(2); RLIMIT_MEMLOCK in getrlimit(2), 8 MiB by default since Linux 5.16.
"""

import ctypes
from collections.abc import Iterable
from pathlib import Path

import msgspec

_MLOCK_ONFAULT = 1


class Mapping(msgspec.Struct, frozen=True):
    """A part of a file that is mapped into this process."""

    begin: int
    end: int
    path: str


def parse_maps(text: str) -> list[Mapping]:
    """Return the file mappings of a `/proc/self/maps` that cannot be written to: code and constants."""
    found = []
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[1].startswith("r-") and fields[5].startswith("/"):
            begin, _, end = fields[0].partition("-")
            found.append(Mapping(int(begin, 16), int(end, 16), fields[5]))
    return found


def paths_at(addresses: Iterable[int], mappings: Iterable[Mapping]) -> set[str]:
    """Return the files whose mappings hold one of the addresses."""
    known = list(addresses)
    return {mapping.path for mapping in mappings if any(mapping.begin <= address < mapping.end for address in known)}


def in_order(mappings: Iterable[Mapping], *, first: set[str]) -> list[Mapping]:
    """Return the mappings of the files in `first`, then those of small files before those of large ones.

    What may be locked is little: it must do for the interpreter and the C library, and for as many modules as possible.
    """
    known = list(mappings)
    sizes = dict.fromkeys((mapping.path for mapping in known), 0)
    for mapping in known:
        sizes[mapping.path] += mapping.end - mapping.begin
    return sorted(known, key=lambda mapping: (mapping.path not in first, sizes[mapping.path], mapping.begin))


def keep_code_resident() -> bool:
    """Lock what of our code is in memory, and what of it will come; return whether the interpreter could be locked.

    May be called again, for code that was loaded since. Raises OSError or AttributeError where there is no such call.
    """
    libc = ctypes.CDLL(None)
    lock = libc.mlock2
    lock.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
    mappings = parse_maps(Path("/proc/self/maps").read_text())
    functions = (ctypes.pythonapi.Py_IncRef, libc.read)
    first = paths_at((ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions), mappings)
    # All are tried: where one is too large for what is left of the limit, a smaller one may still do.
    locked = [
        mapping
        for mapping in in_order(mappings, first=first)
        if lock(mapping.begin, mapping.end - mapping.begin, _MLOCK_ONFAULT) == 0
    ]
    return bool(first) and all(mapping in locked for mapping in mappings if mapping.path in first)
