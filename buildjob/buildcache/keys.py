"""The story "keys": which public keys a mirror offers to Spack's `buildcache keys --install`.

Only an operator's `publish keys` and the notary call this; a push never does. Source: Spack 1.1, binary_distribution.py
(`generate_key_index`, `_url_push_keys`).
"""

import hashlib
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
    """Return what the mirror offers: fingerprint -> armored public key. Raises PublishError if a key is not what it says."""
    found = {}
    for seen in store.list(layout.KEYS):
        if seen.key.endswith(_END):
            fingerprint = seen.key.removeprefix(layout.KEYS).removesuffix(_END)
            manifest = parse_manifest(store.read(seen.key).data, where=f"{store.url}/{seen.key}")
            text = b"".join(store.read(layout.blob(blob.checksum)).data for blob in manifest.data)
            if list(fingerprints(text)) != [fingerprint]:
                raise PublishError(f"{store.url}/{seen.key}: its content is not the key {fingerprint}")
            found[fingerprint] = text
    return found


def fingerprints(text: bytes) -> dict[str, bytes]:
    """Return the keys that a text holds: fingerprint -> that key alone, armored, secret parts left out."""
    with signing.throw_away_home() as home:
        return signing.KeyRing(home).split(text)


def add(store: Store, text: bytes) -> list[str]:
    """Offer the public keys in the text, beside those that are there; return their fingerprints."""
    new = fingerprints(text)
    if not new:
        raise PublishError("there is no public key in what was given")
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
        blob = LocalFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        store.upload(layout.blob(blob.sha256), blob)
        store.write(key, manifest_text(blob, media_type=media_type))
