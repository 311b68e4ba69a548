"""The story "notarize": binaries that builds signed with intermediate keys, and no others, get the release key's signature.

Everything is checked before anything is written: signature, every blob's bytes, the spec behind the name. Runs only where
the release key may be: on protected runners, never in a build's pod.
"""

import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob.buildcache import index, inventory, keys, layout, push, push_record, signing, specs, verify
from buildjob.buildcache.indexing.pending_pushes import Known
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.push_record import AnnouncedBinary
from buildjob.buildcache.storage.store import LocalFile, Store
from buildjob.buildcache.verify import CheckedBinary
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import PublishError
from status_line.progress import Progress, silent


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A binary that got the release key's signature."""

    manifest_key: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A binary that must not be redistributed: it stays where it is."""

    manifest_key: str


class NotarizeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to notarize."""

    workers: int = 8
    known_keys: frozenset[str] = frozenset()
    """Fingerprints that the release build cache may offer beside the release key's."""
    pushing: push.PushOptions = push.PushOptions()
    private: bool = False
    """The release build cache is private: it may have what must not be redistributed."""
    progress: Progress = msgspec.field(default_factory=silent)
    """Counts the binaries that the release build cache lacked, when their fate is known, and the bytes of those taken."""
    already_there: Callable[[int], None] = lambda _: None
    """Called at the end with the number of binaries that the release build cache has already: they are not read."""


def require_known_keys(target: Store, signer: signing.Signer, known: frozenset[str]) -> None:
    """Raise PublishError if the release build cache offers unknown keys, or keys without the release key.

    Anyone who can add a key there can make users trust foreign binaries.
    """
    offered = keys.published(target)
    unknown = sorted(offered.keys() - known - {signer.fingerprint})
    if unknown:
        raise PublishError(
            f"{target.url}: it offers unknown keys: {', '.join(unknown)}; nothing was signed. If they are right, name them "
            "with --known-key; if not, somebody else can write there"
        )
    if offered and signer.fingerprint not in offered:
        raise PublishError(
            f"{target.url}: it does not offer the release key {signer.fingerprint}; nothing was signed. If the key is new, "
            "add it first: spack-farm publish keys"
        )


def notarize(
    source: Store, target: Store, trust: signing.TrustHome, signer: signing.Signer, options: NotarizeOptions
) -> Iterator[Taken | Kept | Fault]:
    """Yield each binary that the target lacks, as taken, kept, or with the fault that kept it out; then update the index.

    Raises PublishError if nothing may be written to the target.
    """
    require_known_keys(target, signer, options.known_keys)
    left_out: list[Fault] = []
    there = set(inventory.manifest_keys(target, left_out.append))
    left_out.clear()
    seen: list[int] = [0]
    options.progress.count = lambda: sum(key not in there for key in inventory.manifest_keys(source, lambda _fault: None))
    options.progress.begin()
    new = _lacking(inventory.manifest_keys(source, left_out.append), there, seen)
    checked = in_parallel(new, lambda key: verify.check(source, key, trust, read_blobs=True), workers=options.workers)
    appeared: list[str] = []
    batch: list[CheckedBinary] = []
    for _key, found in checked:
        if isinstance(found, Fault):
            options.progress.add()
            yield found
            continue
        # a manifest says so, signed, where its push knew; recipes are never read here, since they are code
        must_stay = found.dag_hash in found.not_redistributable or specs.is_developed(found.nodes.values())
        if must_stay and not options.private:
            options.progress.add()
            yield Kept(manifest_key=found.manifest_key)
            continue
        batch.append(found)
        if len(batch) >= push_record.BINARIES_PER_RECORD:
            appeared += _take(batch, source, target, signer, options)
            yield from (Taken(manifest_key=binary.manifest_key) for binary in batch)
            batch = []
    yield from left_out
    options.already_there(seen[0])
    if batch:
        appeared += _take(batch, source, target, signer, options)
        yield from (Taken(manifest_key=binary.manifest_key) for binary in batch)
    if not appeared:
        return
    if not keys.published(target):
        keys.add(target, signer.public_key())
    index.update(target, Known(appeared=frozenset(appeared)), options.pushing.indexing)


def _lacking(manifest_keys: Iterator[str], there: Container[str], seen: list[int]) -> Iterator[str]:
    """Yield the keys that are not there; count the others in the one element of `seen`."""
    for key in manifest_keys:
        if key in there:
            seen[0] += 1
        else:
            yield key


def _take(
    batch: Sequence[CheckedBinary], source: Store, target: Store, signer: signing.Signer, options: NotarizeOptions
) -> list[str]:
    """Sign and copy some binaries; return their manifest keys."""
    nodes: dict[str, specs.SpecNode] = {}
    for each in batch:
        nodes |= each.nodes
    binaries = [
        AnnouncedBinary(manifest_key=each.manifest_key, dag_hash=each.dag_hash, blobs=[blob.checksum for blob in each.blobs])
        for each in batch
    ]

    def take(binary: CheckedBinary) -> None:
        signed = signer.clearsign(binary.text, where=binary.manifest_key)
        for blob in binary.blobs:
            _copy(layout.blob(blob.checksum), blob.checksum, source, target)
        target.write(binary.manifest_key, signed)

    with push.announced_push(target, binaries, nodes, at_once=options.workers, options=options.pushing):
        taken = []
        for binary, _ in in_parallel(batch, take, workers=options.workers):
            options.progress.add(size_bytes=sum(blob.content_length for blob in binary.blobs))
            taken.append(binary.manifest_key)
        return taken


def _copy(key: str, checksum: str, source: Store, target: Store) -> None:
    """Copy a blob on the server if it can do that; otherwise through here, checked again on the way."""
    if target.stat(key) is not None or target.copy(key, source):
        return
    with tempfile.TemporaryDirectory(prefix="spack-farm-notary-") as folder:
        path = Path(folder) / "blob"
        if source.download(key, path) != checksum:
            raise PublishError(f"{source.url}/{key}: it changed while it was copied")
        target.upload(key, LocalFile(path=path, size_bytes=path.stat().st_size, sha256=checksum))
