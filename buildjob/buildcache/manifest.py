"""A binary's manifest in Spack's layout 3: what it says, and whether the blobs that it names are intact below a folder.

Reads only: `push` writes manifests, `signing` checks signatures.
Source: Spack 1.1, lib/spack/spack/url_buildcache.py, schema/url_buildcache_manifest.py.
"""

import json
from pathlib import Path
from typing import Literal

import msgspec

from buildjob.buildcache import clearsigned
from buildjob.buildcache.layout import is_sha256, manifest_key
from buildjob.buildcache.storage.store import LocalFile
from buildjob.errors import PublishError
from buildjob.files import has_content

LARGEST_MANIFEST_BYTES = 1 << 20
NOT_REDISTRIBUTABLE = "spack-farm-not-redistributable"
"""Our property in a manifest, signed with it; Spack's schema allows more properties. spack/inside/pack.py writes it, too."""


class BlobRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One row of a manifest's `data`: what it says of a blob."""

    content_length: int
    media_type: str
    compression: str
    """Spack's schema requires it, and Spack does not read it."""
    checksum_algorithm: Literal["sha256"]
    """Spack would take any of Python's; it writes this one, and no other is safe for content that others may write."""
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
    not_redistributable: list[str] | None = msgspec.field(default=None, name=NOT_REDISTRIBUTABLE)
    """DAG hashes whose binary must not be redistributed, of the binary itself and of what it needs at run time.

    None if its push has not noted any: Spack never does.
    """


def parse_manifest(text: bytes, *, where: str) -> Manifest:
    """Return a manifest, clearsigned or plain; no signature is checked.

    Raises PublishError, naming `where`, if it is not a manifest or names a blob by anything but a SHA-256.
    """
    try:
        content = clearsigned.json_of(clearsigned.body_of(text) if clearsigned.is_signed(text) else text)
        manifest = msgspec.convert(content, Manifest)
    except (PublishError, msgspec.ValidationError) as error:
        raise PublishError(f"{where}: not a spec manifest of layout 3: {error}") from error
    for blob in manifest.data:
        if not is_sha256(blob.checksum):
            raise PublishError(f"{where}: '{blob.checksum[:80]}' is not a SHA-256")
    return manifest


def with_mark(text: bytes, not_redistributable: list[str]) -> bytes:
    """Return an unsigned manifest that says what must not be redistributed, in lines that gpg does not cut."""
    said = json.loads(text) | {NOT_REDISTRIBUTABLE: not_redistributable}
    return json.dumps(said, indent=0, separators=(",", ":")).encode()


def find(folder: Path, name: str, version: str, dag_hash: str) -> bytes | None:
    """Return the bytes of a binary's manifest below a folder, or None if there is none."""
    path = folder / manifest_key(name, version, dag_hash)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_MANIFEST_BYTES)
    except FileNotFoundError:
        return None


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Return whether every blob of the manifest is below the folder, with its size and checksum."""
    return all(matches(folder / blob.relative_path, blob) for blob in manifest.data)


def matches(path: Path, blob: BlobRef) -> bool:
    """Return whether a file has the size and the checksum of a blob."""
    return has_content(path, size_bytes=blob.content_length, checksum=blob.checksum)
