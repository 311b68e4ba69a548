"""The story "prune": binaries that no rule keeps are deleted, in two runs with a grace period between.

The first run marks them; a later one sweeps those that have been marked for the grace period and still match no rule. While
it deletes, new pushes wait, and it keeps what a push has already announced: a push is never broken, whenever it comes.
"""

import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from buildjob.buildcache import conditions, index, inventory, layout, manifest, push_record
from buildjob.buildcache.indexing.pending_pushes import Known
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.storage.store import ABSENT, Store, Unlisted
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import Conflict, Denied, NotFound, PublishError, RequestError, StoreError, Unavailable

_SHA256 = re.compile(rb"[0-9a-fA-F]{64}")
_LEASE_SECONDS = 600.0
"""A prune stops deleting after this time; the next one continues. A push treats a prune older than an hour as dead."""


class KeepRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept."""

    dag_hashes: frozenset[str] = frozenset()
    """Always kept."""
    age_seconds: float
    """What is younger is kept."""
    grace_seconds: float = 86400.0
    """Between mark and sweep."""


class PrunePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune would do."""

    marked: list[str]
    """Keys of manifests that match no keep rule: marked already, or to be marked."""
    unreferenced: list[str]
    """Keys of blobs that no manifest names and that are old enough: the same."""
    sweepable: dict[str, float]
    """Of `marked`, those marked for at least the grace period, and when each was last modified."""
    sweepable_blobs: list[str]
    """Keys of blobs that only sweepable manifests name, and of unreferenced ones marked for that long."""
    mark_documents: list[str]
    """Keys of the documents that marked them: once the plan is carried out, they are no longer needed."""
    left_out: list[Fault] = []
    """What looks like a manifest and is none. It is not deleted."""
    keeps_blobs: bool = False
    """Something could not be read that may be a manifest: then any blob may be one that it names, and none is deleted."""


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """What one run marked, as it is stored."""

    version: int = 1
    manifests: list[str]
    blobs: list[str]


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """How much was deleted."""

    manifests: int
    blobs: int
    is_complete: bool
    """False if the time for one run was over."""


class _LockFile(msgspec.Struct):
    """The field of a lock file that is read."""

    concrete_specs: dict[str, msgspec.Raw]


def kept_by(lock_file: Path) -> frozenset[str]:
    """Return the DAG hashes of a `spack.lock`: roots and all their dependencies. Raises RequestError."""
    try:
        return frozenset(msgspec.json.decode(lock_file.read_bytes(), type=_LockFile).concrete_specs)
    except (OSError, msgspec.MsgspecError) as error:
        raise RequestError(f"{lock_file}: not a lock file of a Spack environment: {error}") from error


def plan(store: Store, rules: KeepRules, *, wall: Callable[[], float] = time.time, workers: int = 8) -> PrunePlan:
    """Read the whole build cache and return what is to be done; writes nothing."""
    now = wall()
    young = now - rules.age_seconds
    unlisted: Unlisted = []
    left_out: list[Fault] = []
    manifests = [info for info in store.list(layout.MANIFESTS, unlisted=unlisted) if info.key.endswith(".manifest.json")]
    marked = {
        info.key: info.modified_seconds
        for info in manifests
        if info.key.startswith(layout.SPECS)
        and inventory.is_manifest(info.key, left_out.append)
        and layout.hash_of(info.key) not in rules.dag_hashes
        and info.modified_seconds < young
    }
    left_out += map(inventory.unlisted_fault, unlisted)
    mark_documents, marked_before = _marked_before(store, now - rules.grace_seconds)
    sweepable = {key: modified for key, modified in marked.items() if key in marked_before}
    named: set[str] = set()
    named_by_sweepable: set[str] = set()
    keeps_blobs = any(key.endswith("/") for key in unlisted)
    for key, found in in_parallel((info.key for info in manifests), lambda key: _named_by(store, key), workers=workers):
        if found.fault:
            fault = inventory.fault_from(PublishError(found.fault), key, store)
            if all(fault.key != known.key for known in left_out):
                left_out.append(fault)
            keeps_blobs = keeps_blobs or found.blobs is None
            marked.pop(key, None)
            sweepable.pop(key, None)
        (named_by_sweepable if key in sweepable else named).update(found.blobs or ())
    # no manifest names a replaced index any more, but its readers may: an update of the index deletes it in time
    named |= {layout.blob(info.key.removeprefix(layout.REPLACED)) for info in store.list(layout.REPLACED)}
    unreferenced = {
        info.key for info in store.list(layout.BLOBS) if info.key not in named and info.modified_seconds < young
    } - named_by_sweepable
    return PrunePlan(
        marked=sorted(marked),
        unreferenced=sorted(unreferenced),
        sweepable=dict(sorted(sweepable.items())),
        sweepable_blobs=[] if keeps_blobs else sorted((named_by_sweepable - named) | (unreferenced & marked_before)),
        mark_documents=[] if keeps_blobs else mark_documents,
        left_out=left_out,
        keeps_blobs=keeps_blobs,
    )


def _marked_before(store: Store, before: float) -> tuple[list[str], set[str]]:
    """Return the documents older than that, and the keys that they mark."""
    found: list[str] = []
    keys: set[str] = set()
    for info in store.list(layout.MARKED):
        if info.modified_seconds <= before:
            try:
                marked = msgspec.json.decode(store.read(info.key, limit_bytes=1 << 30).data, type=Marked)
            except msgspec.MsgspecError:  # not ours; what it may have marked is marked again
                continue
            found.append(info.key)
            keys.update(marked.manifests, marked.blobs)
    return found, keys


class _NamedBy(msgspec.Struct, frozen=True, kw_only=True):
    """What one manifest names."""

    blobs: set[str] | None
    """Keys; None if the object can't be read: it may name any."""
    fault: str = ""


def _named_by(store: Store, key: str) -> _NamedBy:
    """Return the keys of a manifest's blobs.

    In what can't be understood, perhaps a manifest of a newer Spack, whatever looks like a SHA-256 counts as a blob's name.
    """
    try:
        data = store.read(key).data
    except NotFound as error:
        # deleted meanwhile
        return _NamedBy(blobs=set()) if store.stat(key) is None else _NamedBy(blobs=None, fault=str(error))
    except (Denied, Unavailable):
        raise
    except StoreError as error:
        return _NamedBy(blobs=None, fault=str(error))
    try:
        found = manifest.parse_manifest(data, where=f"{store.url}/{key}")
    except PublishError as error:
        return _NamedBy(blobs={layout.blob(each.decode().lower()) for each in _SHA256.findall(data)}, fault=str(error))
    return _NamedBy(blobs={layout.blob(blob.checksum) for blob in found.data})


def mark(store: Store, planned: PrunePlan) -> bool:
    """Mark what is not sweepable yet; return whether there was anything."""
    sweepable = {*planned.sweepable, *planned.sweepable_blobs}
    marked = Marked(
        manifests=[key for key in planned.marked if key not in sweepable],
        blobs=[key for key in planned.unreferenced if key not in sweepable],
    )
    if not marked.manifests and not marked.blobs:
        return False
    store.write(f"{layout.MARKED}{secrets.token_hex(8)}.json", msgspec.json.encode(marked))
    return True


def sweep(
    store: Store, planned: PrunePlan, options: index.IndexOptions, *, clock: Callable[[], float] = time.monotonic
) -> Swept:
    """Delete what is sweepable and not announced by a push: first from the index, then manifests, then blobs."""
    conditions.require(store)
    begun = clock()

    def has_time() -> bool:
        return clock() - begun < _LEASE_SECONDS

    try:
        # random content: if the answer is lost, this write recognizes its own object by it
        store.write(layout.PRUNING, secrets.token_bytes(8), only_if=ABSENT)
    except Conflict as error:
        raise PublishError(
            f"{store.url}/{layout.PRUNING}: another prune runs; if it was killed, delete this object"
        ) from error
    try:
        # pushes that announce from now on wait; those that announced before do not, and their objects are kept
        announced = _announced_keys(store)
        manifests = [key for key in planned.sweepable if key not in announced and _is_unchanged(store, key, planned)]
        dag_hashes = frozenset(layout.hash_of(key) for key in manifests)
        if dag_hashes:
            index.update(store, Known(removed=dag_hashes), options)
        deleted_manifests = _delete_while(store, manifests, has_time)
        # read again: another manifest may name a blob since the plan was made
        named, is_certain = _named_now(store)
        blobs = [key for key in planned.sweepable_blobs if is_certain and key not in announced and key not in named]
        deleted_blobs = _delete_while(store, blobs, has_time)
        is_complete = deleted_manifests == len(manifests) and deleted_blobs == len(blobs)
        if is_complete:
            for key in planned.mark_documents:
                store.delete(key)
        return Swept(manifests=deleted_manifests, blobs=deleted_blobs, is_complete=is_complete)
    finally:
        store.delete(layout.PRUNING)


def _named_now(store: Store) -> tuple[set[str], bool]:
    """Return the keys of all blobs that manifests name, and whether all could be read."""
    named: set[str] = set()
    unlisted: Unlisted = []
    is_certain = True
    for info in store.list(layout.MANIFESTS, unlisted=unlisted):
        if info.key.endswith(".manifest.json"):
            found = _named_by(store, info.key)
            named |= found.blobs or set()
            is_certain = is_certain and found.blobs is not None
    return named, is_certain and not any(key.endswith("/") for key in unlisted)


def _announced_keys(store: Store) -> set[str]:
    """Return the keys of all objects that pending pushes need."""
    found: set[str] = set()
    for binary in push_record.announced(store):
        found.add(binary.manifest_key)
        found.update(layout.blob(checksum) for checksum in binary.blobs)
    return found


def _is_unchanged(store: Store, key: str, planned: PrunePlan) -> bool:
    """Return whether a manifest is the one that was marked: a push may have replaced it since."""
    info = store.stat(key)
    return info is not None and int(info.modified_seconds) == int(planned.sweepable[key])


def _delete_while(store: Store, keys: list[str], has_time: Callable[[], bool]) -> int:
    """Delete one object after the other while there is time; return how many."""
    for number, key in enumerate(keys):
        if not has_time():
            return number
        store.delete(key)
    return len(keys)
