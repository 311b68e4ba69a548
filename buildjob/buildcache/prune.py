"""The story "prune": binaries that nobody keeps are deleted, in two runs with a grace between.

The first run writes down what is doomed; a later one deletes what has been doomed for the grace and still is. While it
deletes, new pushes wait, and what a push has announced before is spared: a push is never broken, whatever instant it comes.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from buildjob.buildcache import conditions, index, layout, manifest, pending_pushes, push_record, verify
from buildjob.buildcache.storage.store import ABSENT, Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import Conflict, NotFound, PublishError, RequestError

_LEASE_SECONDS = 600.0
"""A prune stops deleting after so long; what is left waits for the next one. Pushes count one of an hour as killed."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept."""

    hashes: frozenset[str] = frozenset()
    """DAG hashes that are always kept."""
    age_seconds: float
    """What is younger is kept."""
    grace_seconds: float = 86400.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune would do."""

    doomed: list[str]
    """Manifests that the policy does not keep."""
    orphans: list[str]
    """Blobs that no manifest names, older than the policy's age."""
    due_manifests: dict[str, float]
    """Of `doomed`, what was written down at least the grace ago, and when it was last modified."""
    due_blobs: list[str]
    """Blobs that nothing but due manifests names, or nothing at all, and that were written down that long ago."""
    marks: list[str]
    """Keys of the documents that are older than the grace and are done with when this is carried out."""


class _Doomed(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    manifests: list[str]
    blobs: list[str]


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted."""

    manifests: int
    blobs: int
    is_complete: bool
    """False if the time was over: run it again."""


class _LockFile(msgspec.Struct):
    """Of a lock file, what is read."""

    concrete_specs: dict[str, msgspec.Raw]


def kept_by(lock_file: Path) -> frozenset[str]:
    """Return the hashes of a `spack.lock`: roots and all that they depend on. Raises RequestError."""
    try:
        return frozenset(msgspec.json.decode(lock_file.read_bytes(), type=_LockFile).concrete_specs)
    except (OSError, msgspec.MsgspecError) as error:
        raise RequestError(f"{lock_file}: no lock file of a Spack environment: {error}") from error


def plan(store: Store, policy: Policy, *, wall: Callable[[], float] = time.time, workers: int = 8) -> Plan:
    """Read the whole mirror and return what is to be done; writes nothing."""
    now = wall()
    young = now - policy.age_seconds
    manifests = [seen for seen in store.list("v3/manifests/") if seen.key.endswith(".manifest.json")]
    doomed = {
        seen.key: seen.modified_seconds
        for seen in manifests
        if seen.key.endswith(layout.MANIFEST_END)
        and layout.hash_of(seen.key) not in policy.hashes
        and seen.modified_seconds < young
    }
    marks, marked = _marked(store, now - policy.grace_seconds)
    due = {key: modified for key, modified in doomed.items() if key in marked}
    named: set[str] = set()
    named_by_due: set[str] = set()
    read = in_parallel((seen.key for seen in manifests), lambda key: _blobs(store, key), workers=workers)
    for key, blobs in read:
        (named_by_due if key in due else named).update(blobs)
    # replaced indices are deleted by the next update of the index
    named |= {layout.blob(seen.key.removeprefix(layout.REPLACED)) for seen in store.list(layout.REPLACED)}
    orphans = {
        seen.key for seen in store.list(layout.BLOBS) if seen.key not in named and seen.modified_seconds < young
    } - named_by_due
    return Plan(
        doomed=sorted(doomed),
        orphans=sorted(orphans),
        due_manifests=dict(sorted(due.items())),
        due_blobs=sorted((named_by_due - named) | (orphans & marked)),
        marks=marks,
    )


def _marked(store: Store, before: float) -> tuple[list[str], set[str]]:
    """Return the documents older than that, and the keys that they doom."""
    keys: list[str] = []
    marked: set[str] = set()
    for seen in store.list(layout.DOOMED):
        if seen.modified_seconds <= before:
            doomed = msgspec.json.decode(store.read(seen.key, limit_bytes=1 << 30).data, type=_Doomed)
            keys.append(seen.key)
            marked.update(doomed.manifests, doomed.blobs)
    return keys, marked


def _blobs(store: Store, key: str) -> list[str]:
    """Return the keys of a manifest's blobs. Raises PublishError if it can't be read: nothing is an orphan then."""
    try:
        data = store.read(key).data
    except NotFound:
        return []
    return [layout.blob(blob.checksum) for blob in manifest.parse_manifest(data, where=f"{store.url}/{key}").data]


def mark(store: Store, asked: Plan) -> bool:
    """Write down what is doomed and was not yet due; say whether there was anything."""
    due = {*asked.due_manifests, *asked.due_blobs}
    doomed = _Doomed(
        manifests=[key for key in asked.doomed if key not in due], blobs=[key for key in asked.orphans if key not in due]
    )
    if not doomed.manifests and not doomed.blobs:
        return False
    store.write(f"{layout.DOOMED}{secrets.token_hex(8)}.json", msgspec.json.encode(doomed))
    return True


def delete(store: Store, asked: Plan, options: index.Options, *, clock: Callable[[], float] = time.monotonic) -> Deleted:
    """Delete what is due, but for what a push has announced: first from the index, then manifests, then blobs."""
    conditions.require(store)
    begun = clock()
    try:
        # a content of its own: after a lost answer it is by this that a write is known to have been the one that succeeded
        store.write(layout.PRUNING, secrets.token_bytes(8), only_if=ABSENT)
    except Conflict as error:
        raise PublishError(
            f"{store.url}/{layout.PRUNING}: another prune runs; if it was killed, delete this object"
        ) from error
    try:
        spared = _announced(store)
        manifests = [key for key in asked.due_manifests if key not in spared and _is_unchanged(store, key, asked)]
        hashes = frozenset(layout.hash_of(key) for key in manifests)
        if hashes:
            index.update(store, msgspec.structs.replace(options, known=pending_pushes.Known(gone=hashes)))
        gone = _until(store, manifests, lambda: clock() - begun < _LEASE_SECONDS)
        named = {blob for key in verify.manifests(store) for blob in _blobs(store, key)}
        blobs = [key for key in asked.due_blobs if key not in spared and key not in named]
        swept = _until(store, blobs, lambda: clock() - begun < _LEASE_SECONDS)
        complete = gone == len(manifests) and swept == len(blobs)
        if complete:
            for key in asked.marks:
                store.delete(key)
        return Deleted(manifests=gone, blobs=swept, is_complete=complete)
    finally:
        store.delete(layout.PRUNING)


def _announced(store: Store) -> set[str]:
    """Return the keys of all that pushes are about to use."""
    found: set[str] = set()
    for seen in push_record.pending(store):
        for entry in (push_record.read(store, seen.key) or push_record.Push()).entries:
            found.add(entry.manifest)
            found.update(layout.blob(checksum) for checksum in entry.blobs)
    return found


def _is_unchanged(store: Store, key: str, asked: Plan) -> bool:
    """Say whether a manifest is still the one that was doomed: a push may have replaced it since."""
    seen = store.stat(key)
    return seen is not None and int(seen.modified_seconds) == int(asked.due_manifests[key])


def _until(store: Store, keys: list[str], has_time: Callable[[], bool]) -> int:
    """Delete one after the other while there is time; return how many."""
    for number, key in enumerate(keys):
        if not has_time():
            return number
        store.delete(key)
    return len(keys)
