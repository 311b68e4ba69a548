"""The small documents of a mirror, read and written as Spack does: manifests of one blob, and concrete specs.

Source: Spack 1.1, lib/spack/spack/url_buildcache.py.
"""

import hashlib
import zlib

import msgspec

from buildjob.buildcache import layout, specs
from buildjob.buildcache.manifest import BlobRef, Manifest, parse_manifest
from buildjob.buildcache.storage.store import LocalFile, Store
from buildjob.errors import PublishError

_LARGEST_SPEC_BYTES = 64 << 20


def manifest_text(blob: LocalFile, *, media_type: str, fence: str = "") -> bytes:
    """Return a manifest that names one uncompressed blob, as Spack writes it; Spack's schema allows more properties."""
    row = {
        "contentLength": blob.size_bytes,
        "mediaType": media_type,
        "compression": "none",
        "checksumAlgorithm": "sha256",
        "checksum": blob.sha256,
    }
    return msgspec.json.encode({"version": 3, "data": [row]} | ({"spack-farm-fence": fence} if fence else {}))


def read_spec(store: Store, manifest_key: str) -> dict[str, specs.Node]:
    """Return the nodes of a binary's concrete spec, the root first. Raises NotFound, and PublishError if it is not whole."""
    where = f"{store.url}/{manifest_key}"
    return spec_of(store, parse_manifest(store.read(manifest_key).data, where=where), where=where)


def spec_of(store: Store, manifest: Manifest, *, where: str) -> dict[str, specs.Node]:
    """Return the nodes of the concrete spec that a manifest names. Raises NotFound, and PublishError if it is not whole."""
    blob = spec_blob(manifest, where=where)
    packed = store.read(layout.blob(blob.checksum)).data
    if hashlib.sha256(packed).hexdigest() != blob.checksum:
        raise PublishError(f"{where}: the spec's blob has another content than its name says")
    if len(packed) != blob.content_length:
        raise PublishError(f"{where}: the spec's blob has {len(packed)} bytes, {blob.content_length} were promised")
    return specs.parse_spec(unpacked(packed, where=where), where=where)


def spec_blob(manifest: Manifest, *, where: str) -> BlobRef:
    """Return the blob with the concrete spec: the first of its kind. Raises PublishError if there is none."""
    for blob in manifest.data:
        if blob.media_type == layout.SPEC_MEDIA_TYPE:
            return blob
    raise PublishError(f"{where}: names no concrete spec")


def unpacked(packed: bytes, *, where: str) -> bytes:
    """Return a concrete spec's JSON, compressed or not. Raises PublishError if it is broken or too large."""
    if not packed.startswith(b"\x1f\x8b"):
        return packed
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(packed, _LARGEST_SPEC_BYTES)
    except zlib.error as error:
        raise PublishError(f"{where}: the spec's blob is broken: {error}") from error
    if not unpack.eof:
        raise PublishError(f"{where}: the spec's blob is cut off, or larger than {_LARGEST_SPEC_BYTES} bytes")
    return text
