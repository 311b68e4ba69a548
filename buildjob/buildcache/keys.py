"""The story "keys": which public keys a build cache offers to Spack's `buildcache keys --install`.

Only `publish keys`, by an operator, and `publish notarize` add keys; a push never does. Source: Spack 1.1,
binary_distribution.py (`generate_key_index`, `_url_push_keys`).
"""

import tempfile
from pathlib import Path

import msgspec

from buildjob.buildcache import layout, signing
from buildjob.buildcache.documents import manifest_text
from buildjob.buildcache.manifest import parse_manifest
from buildjob.buildcache.storage.store import LocalFile, Store
from buildjob.errors import PublishError

_END = ".key.manifest.json"


def published(store: Store) -> dict[str, bytes]:
    """Return the keys on offer: fingerprint -> armored public key. Raises PublishError if a key has another fingerprint."""
    found = {}
    for info in store.list(layout.KEYS):
        if info.key.endswith(_END):
            fingerprint = info.key.removeprefix(layout.KEYS).removesuffix(_END)
            manifest = parse_manifest(store.read(info.key).data, where=f"{store.url}/{info.key}")
            text = b"".join(store.read(layout.blob(blob.checksum)).data for blob in manifest.data)
            if list(fingerprints(text)) != [fingerprint]:
                raise PublishError(f"{store.url}/{info.key}: its content is not the key {fingerprint}")
            found[fingerprint] = text
    return found


def fingerprints(text: bytes) -> dict[str, bytes]:
    """Return the public keys in a text: fingerprint -> that key alone, armored, without secret parts."""
    with signing.throw_away_home() as home:
        return signing.KeyRing(home).split(text)


def add(store: Store, text: bytes) -> list[str]:
    """Offer the public keys in the text, beside those on offer; return their fingerprints."""
    new = fingerprints(text)
    if not new:
        raise PublishError("the file holds no public key")
    for fingerprint, armored in new.items():
        _put(store, f"{layout.KEYS}{fingerprint}{_END}", armored, media_type=layout.KEY_MEDIA_TYPE)
    every: dict[str, dict[str, str]] = {fingerprint: {} for fingerprint in sorted({*published(store), *new})}
    _put(store, layout.KEY_INDEX, msgspec.json.encode({"keys": every}), media_type=layout.KEY_INDEX_MEDIA_TYPE)
    return list(new)


def _put(store: Store, key: str, data: bytes, *, media_type: str) -> None:
    """Write a small blob and then the manifest that names it."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-keys-") as folder:
        path = Path(folder) / "blob"
        path.write_bytes(data)
        blob = LocalFile.of(path)
        store.upload(layout.blob(blob.sha256), blob)
        store.write(key, manifest_text(blob, media_type=media_type))
