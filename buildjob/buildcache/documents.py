"""The small documents of a build cache, read and written as Spack does: manifests of one blob, and concrete specs.

Source: Spack 1.1, lib/spack/spack/url_buildcache.py.
"""

import hashlib
import zlib

import msgspec

from buildjob.buildcache import clearsigned, layout, specs
from buildjob.buildcache.manifest import BlobRef, Manifest, parse_manifest
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import ABSENT, LocalFile, Store
from buildjob.errors import Conflict, Denied, NotFound, PublishError, StoreError, Unavailable, Unsupported

FENCE = "spack-farm-fence"
"""Our property in the index's manifest, where it was written under the lock; Spack's schema allows more properties."""
_LARGEST_SPEC_BYTES = 64 << 20
_NOWHERE = "is a link to what does not exist: mount it, or delete the link"


def manifest_text(blob: LocalFile, *, media_type: str, fencing_token: str = "") -> bytes:
    """Return a manifest that names one uncompressed blob, as Spack writes it."""
    row = {
        "contentLength": blob.size_bytes,
        "mediaType": media_type,
        "compression": "none",
        "checksumAlgorithm": "sha256",
        "checksum": blob.sha256,
    }
    return msgspec.json.encode({"version": 3, "data": [row]} | ({FENCE: fencing_token} if fencing_token else {}))


def read_spec(store: Store, manifest_key: str) -> dict[str, specs.SpecNode]:
    """Return the nodes of a binary's concrete spec, the root first. Raises NotFound, and PublishError if it is damaged."""
    where = f"{store.url}/{manifest_key}"
    return spec_of(store, parse_manifest(store.read(manifest_key).data, where=where), where=where)


def spec_of(store: Store, manifest: Manifest, *, where: str) -> dict[str, specs.SpecNode]:
    """Return the nodes of the concrete spec that a manifest names. Raises NotFound, and PublishError if it is damaged."""
    blob = spec_blob(manifest, where=where)
    packed = store.read(layout.blob(blob.checksum)).data
    if hashlib.sha256(packed).hexdigest() != blob.checksum:
        raise PublishError(f"{where}: the spec's blob does not have the checksum in its name")
    if len(packed) != blob.content_length:
        raise PublishError(f"{where}: the spec's blob has {len(packed)} bytes, not {blob.content_length}")
    return specs.parse_spec(unpacked(packed, where=where), where=where)


def spec_blob(manifest: Manifest, *, where: str) -> BlobRef:
    """Return the blob with the concrete spec: the first of its kind. Raises PublishError if there is none."""
    for blob in manifest.data:
        if blob.media_type == layout.SPEC_MEDIA_TYPE:
            return blob
    raise PublishError(f"{where}: names no concrete spec")


def ensure_layout(store: Store) -> bool:
    """Write the document that says how the build cache is signed, unless it is there; return whether it was written."""
    if store.stat(layout.LAYOUT) is not None:
        return False
    try:
        store.write(layout.LAYOUT, layout.LAYOUT_CONTENT, only_if=ABSENT)
    except Conflict:
        if _leads_nowhere(store):
            raise StoreError(f"build cache {store.url}: {layout.LAYOUT} {_NOWHERE}") from None
        return False
    except Unsupported:
        store.write(layout.LAYOUT, layout.LAYOUT_CONTENT)
    return True


def _leads_nowhere(store: Store) -> bool:
    return isinstance(store, FolderStore) and store.is_broken_link(layout.LAYOUT)


def layout_fault(store: Store) -> str:
    """Return what is wrong with that document; empty if nothing is."""
    try:
        found = clearsigned.json_of(store.read(layout.LAYOUT).data)
    except NotFound:
        if _leads_nowhere(store):
            return f"{_NOWHERE}, and publish index writes a new one"
        return "is missing: Spack takes a build cache without it for one of an older layout; publish index writes it"
    except (Denied, Unavailable):
        raise
    except PublishError as error:
        return f"is broken: {error}; delete it, and publish index writes a new one"
    if not isinstance(found, dict) or found.get("signing") != "gpg":
        return "does not say that gpg signs; delete it, and publish index writes a new one"
    return ""


def unpacked(packed: bytes, *, where: str) -> bytes:
    """Return a concrete spec's JSON, which may be compressed. Raises PublishError if it is damaged or too large."""
    if not packed.startswith(b"\x1f\x8b"):
        return packed
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(packed, _LARGEST_SPEC_BYTES)
    except zlib.error as error:
        raise PublishError(f"{where}: the spec's blob is damaged: {error}") from error
    if unpack.eof and unpack.unused_data.strip(b"\0"):
        raise PublishError(f"{where}: something stands behind the compressed spec")
    if not unpack.eof:
        raise PublishError(f"{where}: the spec's blob is cut off, or larger than {_LARGEST_SPEC_BYTES} bytes")
    return text
