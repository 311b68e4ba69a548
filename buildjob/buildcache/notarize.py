"""The story "notarize": what builds have signed with intermediate keys, and nothing else, gets the release key's signature.

Everything is checked before anything is written: signature, every blob's bytes, the spec behind the name. Runs where the
release key may be: on protected runners, never in a build's pod.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buildjob.buildcache import index, keys, layout, pending_pushes, push, push_record, signing, specs, verify
from buildjob.buildcache.storage.store import LocalFile, Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import PublishError


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A binary that got the release key's signature."""

    key: str


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to notarize."""

    workers: int = 8
    known_keys: frozenset[str] = frozenset()
    """Fingerprints that the release mirror may offer beside the release key's."""
    pushing: push.Options = push.Options()


def require_known_keys(target: Store, signer: signing.Signer, known: frozenset[str]) -> None:
    """Refuse a release mirror whose keys are not what they were. Raises PublishError.

    Whoever could add a key to it could have users trust binaries of his own.
    """
    offered = keys.published(target)
    strangers = sorted(offered.keys() - known - {signer.fingerprint})
    if strangers:
        raise PublishError(
            f"{target.url}: it offers keys that nobody told of: {', '.join(strangers)}; nothing was signed. If they are "
            "right, name them with --known-key; if not, somebody else can write there"
        )
    if offered and signer.fingerprint not in offered:
        raise PublishError(
            f"{target.url}: it does not offer the release key {signer.fingerprint}; nothing was signed. If the key is new, "
            "add it first: spack-farm publish keys"
        )


def notarize(
    source: Store, target: Store, trust: signing.TrustHome, signer: signing.Signer, options: Options
) -> Iterator[Taken | verify.Fault]:
    """Yield each new binary of the source as it was taken, or why it was not; the index is updated at the end.

    What the target has already is left out. Raises PublishError if the target is not to be written at all.
    """
    require_known_keys(target, signer, options.known_keys)
    there = set(verify.manifests(target))
    new = (key for key in verify.manifests(source) if key not in there)
    checked = in_parallel(new, lambda key: verify.binary(source, key, trust, blobs=True), workers=options.workers)
    taken: list[str] = []
    batch: list[verify.Binary] = []
    for _key, found in checked:
        if isinstance(found, verify.Fault):
            yield found
            continue
        batch.append(found)
        if len(batch) >= push_record.ENTRIES_PER_RECORD:
            taken += _take(batch, source, target, signer, options)
            yield from (Taken(key=each.key) for each in batch)
            batch = []
    if batch:
        taken += _take(batch, source, target, signer, options)
        yield from (Taken(key=each.key) for each in batch)
    if not taken:
        return
    if not keys.published(target):
        keys.add(target, signer.public_key())
    known = pending_pushes.Known(appeared=frozenset(taken))
    index.update(target, msgspec.structs.replace(options.pushing.indexing, known=known))


def _take(batch: list[verify.Binary], source: Store, target: Store, signer: signing.Signer, options: Options) -> list[str]:
    """Sign and copy some binaries, in the order that a push keeps; return their keys."""
    nodes: dict[str, specs.Node] = {}
    for each in batch:
        nodes |= each.nodes
    pending_pushes = [
        push_record.Announced(manifest=each.key, hash=each.hash, blobs=[blob.checksum for blob in each.blobs])
        for each in batch
    ]
    records = push_record.announce(target, pending_pushes, nodes, at_once=options.workers)
    push.wait_for_prune(target, options.pushing)
    push.ensure_layout(target)

    def one(each: verify.Binary) -> None:
        signed = signer.clearsign(each.text, where=each.key)
        for blob in each.blobs:
            _copy(layout.blob(blob.checksum), blob.checksum, source, target)
        target.write(each.key, signed)

    done = [each.key for each, _ in in_parallel(batch, one, workers=options.workers)]
    push_record.complete(target, records)
    return done


def _copy(key: str, checksum: str, source: Store, target: Store) -> None:
    """Copy a blob on the server where that can be; otherwise through here, checked again on the way."""
    if target.stat(key) is not None or target.copy(key, source):
        return
    with tempfile.TemporaryDirectory(prefix="spack-farm-notary-") as folder:
        path = Path(folder) / "blob"
        if source.download(key, path) != checksum:
            raise PublishError(f"{source.url}/{key}: it changed while it was copied")
        target.upload(key, LocalFile(path=path, size_bytes=path.stat().st_size, sha256=checksum))
