"""A spec's manifest in Spack's v3 layout: what it says, and whether the blobs that it names are whole below a folder.

Reads only: `push` writes manifests, `signing` checks signatures.
Source: Spack 1.1, lib/spack/spack/url_buildcache.py.
"""

from pathlib import Path
from typing import Literal

import msgspec

from buildjob.buildcache.layout import manifest_path
from buildjob.errors import PublishError
from buildjob.files import has_content

_LARGEST_MANIFEST_BYTES = 1 << 20


class BlobRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One row of a manifest's `data`."""

    content_length: int
    media_type: str
    checksum_algorithm: Literal["sha256"]
    checksum: str

    @property
    def relative_path(self) -> Path:
        """Where the blob lies below the mirror."""
        return Path("blobs") / "sha256" / self.checksum[:2] / self.checksum


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a spec manifest says."""

    version: Literal[3]
    data: list[BlobRef]


_MANIFEST = msgspec.json.Decoder(Manifest)
"""Made once, before there are threads: msgspec crashes where two are the first to decode a type (0.22)."""


def parse_manifest(text: bytes, *, where: str) -> Manifest:
    """Return a manifest, clearsigned or plain; no signature is checked.

    Raises PublishError, naming `where`, if it is none or names a blob that is no sha256.
    """
    if text.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        text = _signed_text(text)
    try:
        manifest = _MANIFEST.decode(text)
    except msgspec.MsgspecError as error:
        raise PublishError(f"{where}: not a spec manifest of layout 3: {error}") from error
    for blob in manifest.data:
        if len(blob.checksum) != 64 or set(blob.checksum) - set("0123456789abcdef"):
            raise PublishError(f"{where}: '{blob.checksum[:80]}' is no sha256")
    return manifest


def _signed_text(text: bytes) -> bytes:
    """Return what stands between the armor's head and the signature, dashes unescaped (RFC 9580, 7.1–7.2)."""
    body = text.partition(b"\n\n")[2].partition(b"\n-----BEGIN PGP SIGNATURE-----")[0]
    return b"\n".join(line.removeprefix(b"- ") for line in body.split(b"\n"))


def find(mirror: Path, name: str, version: str, dag_hash: str) -> bytes | None:
    """Return the bytes of a spec's manifest on the mirror, or None if there is none."""
    path = mirror / manifest_path(name, version, dag_hash)
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_MANIFEST_BYTES)
    except FileNotFoundError:
        return None


def is_whole(mirror: Path, manifest: Manifest) -> bool:
    """Say whether every blob of the manifest is on the mirror with the size and checksum that the manifest names."""
    return all(matches(mirror / blob.relative_path, blob) for blob in manifest.data)


def matches(path: Path, blob: BlobRef) -> bool:
    """Say whether a file has the size and the checksum that the manifest names."""
    return has_content(path, size_bytes=blob.content_length, checksum=blob.checksum)
