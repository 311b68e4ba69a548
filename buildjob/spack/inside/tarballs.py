"""Runs inside Spack's own Python, for `install.py`: a binary's compression is undone once, not once for each look at it.

Spack reads the names in a tarball first, and then all of it again; each time Python decompresses the whole. Written for
Spack 1.1, 1.2. Linux only.
Source: Spack 1.1, lib/spack/spack/binary_distribution.py (`extract_buildcache_tarball`).
"""

import contextlib
import os
import zlib

import spack.binary_distribution

LARGEST_BYTES = 64 << 20
"""Of what is kept in memory, unpacked; Spack unpacks larger ones itself."""
READ_BYTES = 1 << 20


def unpack_once():
    original = spack.binary_distribution.extract_buildcache_tarball

    def extract(tarfile_path, destination):
        with unpacked(tarfile_path) as path:
            original(path or tarfile_path, destination)

    spack.binary_distribution.extract_buildcache_tarball = extract


@contextlib.contextmanager
def unpacked(path):
    """The path of the same file without its compression, for as long as the block runs; None if it is large, or no gzip."""
    descriptor = os.memfd_create("tarball", os.MFD_CLOEXEC)
    try:
        is_whole = os.path.getsize(path) <= LARGEST_BYTES and unpack(path, descriptor)
        yield f"/proc/self/fd/{descriptor}" if is_whole else None
    finally:
        os.close(descriptor)


def unpack(path, descriptor):
    """Write what a file holds, unpacked; whether that was possible: what is damaged is Spack's to report."""
    stream = zlib.decompressobj(wbits=31)
    left = LARGEST_BYTES
    with open(path, "rb") as file:
        while chunk := file.read(READ_BYTES):
            if stream.eof:  # more than one gzip file, or something behind it
                return False
            try:
                data = stream.decompress(chunk, left + 1)
            except zlib.error:
                return False
            left -= len(data)
            if left < 0:
                return False
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
    return stream.eof and not stream.unused_data
