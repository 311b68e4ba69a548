"""A binary's manifest in Spack's layout 3: what it says, and whether the blobs that it names are intact below a folder.

Reads only: `push` writes manifests, `signing` checks signatures.
Source: Spack 1.1, lib/spack/spack/url_buildcache.py.
"""

from pathlib import Path
from typing import Literal

import msgspec

from buildjob.buildcache.layout import manifest_key
from buildjob.buildcache.storage.store import LocalFile
from buildjob.errors import PublishError
from buildjob.files import has_content

_LARGEST_MANIFEST_BYTES = 1 << 20


class BlobRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One row of a manifest's `data`: what it says of a blob."""

    content_length: int
    media_type: str
    checksum_algorithm: Literal["sha256"]
    checksum: str

    @property
    def relative_path(self) -> Path:
        """Where the blob lies below a build cache."""
        return Path("blobs") / "sha256" / self.checksum[:2] / self.checksum

    def file_below(self, folder: Path) -> LocalFile:
        """Return the blob as a local file below a folder; whether it is intact is not checked."""
        return LocalFile(path=folder / self.relative_path, size_bytes=self.content_length, sha256=self.checksum)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a binary's manifest says."""

    version: Literal[3]
    data: list[BlobRef]


_MANIFEST = msgspec.json.Decoder(Manifest)
"""Made once, before there are threads: msgspec crashes if two are the first to decode a type (0.22)."""


def parse_manifest(text: bytes, *, where: str) -> Manifest:
    """Return a manifest, clearsigned or plain; no signature is checked.

    Raises PublishError, naming `where`, if it is not a manifest or names a blob by anything but a SHA-256.
    """
    if text.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        text = _signed_text(text)
    try:
        manifest = _MANIFEST.decode(text)
    except msgspec.MsgspecError as error:
        raise PublishError(f"{where}: not a spec manifest of layout 3: {error}") from error
    for blob in manifest.data:
        if len(blob.checksum) != 64 or set(blob.checksum) - set("0123456789abcdef"):
            raise PublishError(f"{where}: '{blob.checksum[:80]}' is not a SHA-256")
    return manifest


def _signed_text(text: bytes) -> bytes:
    """Return what stands between the armor's head and the signature, dashes unescaped (RFC 9580, 7.1–7.2)."""
    body = text.partition(b"\n\n")[2].partition(b"\n-----BEGIN PGP SIGNATURE-----")[0]
    return b"\n".join(line.removeprefix(b"- ") for line in body.split(b"\n"))


def find(folder: Path, name: str, version: str, dag_hash: str) -> bytes | None:
    """Return the bytes of a binary's manifest below a folder, or None if there is none."""
    path = folder / manifest_key(name, version, dag_hash)
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_MANIFEST_BYTES)
    except FileNotFoundError:
        return None


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Return whether every blob of the manifest is below the folder, with its size and checksum."""
    return all(matches(folder / blob.relative_path, blob) for blob in manifest.data)


def matches(path: Path, blob: BlobRef) -> bool:
    """Return whether a file has the size and the checksum of a blob."""
    return has_content(path, size_bytes=blob.content_length, checksum=blob.checksum)
