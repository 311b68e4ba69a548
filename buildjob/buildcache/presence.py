"""Whether there is a build cache at an address: only a push makes one, so a wrong address must not look like an empty one.

Reads at most a few names. Knows what stands at the top of a build cache, not what is in it.
"""

import enum
import itertools

from buildjob.buildcache import layout
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import Store, Unlisted
from buildjob.errors import NoSuchBucket, RequestError

_OLD_LAYOUT = "build_cache/"
_MAKES_ONE = "spack-farm publish push and spack-farm build --mirror make one"


class Presence(enum.Enum):
    """What stands at an address."""

    BUILD_CACHE = enum.auto()
    OLD_LAYOUT = enum.auto()
    """A build cache of Spack's layout 2, which Spack 1.1 still reads."""
    NOTHING = enum.auto()
    """Nothing at all, or nothing that belongs to a build cache."""
    NOT_A_FOLDER = enum.auto()


def of(store: Store) -> Presence:
    """Return what stands at a store's address. Raises StoreError if that can't be found out."""
    if is_file(store):
        return Presence.NOT_A_FOLDER
    if store.stat(layout.LAYOUT) is not None or _has(store, "v3/", layout.BLOBS, layout.OURS):
        return Presence.BUILD_CACHE
    return Presence.OLD_LAYOUT if _has(store, _OLD_LAYOUT) else Presence.NOTHING


def is_file(store: Store) -> bool:
    """Return whether the address is that of a file, or of anything else that is not a folder."""
    return isinstance(store, FolderStore) and store.root.exists() and not store.root.is_dir()


def _has(store: Store, *prefixes: str) -> bool:
    unlisted: Unlisted = []  # what can't be read is there
    return any(list(itertools.islice(store.list(prefix, unlisted=unlisted), 1)) or unlisted for prefix in prefixes)


def require_access(store: Store) -> Presence:
    """Return what stands at a store's address, which need not be a build cache.

    Raises RequestError if there is no bucket, StoreError if nothing can be read there. To the question for a single object
    S3 servers say "not there" in both cases.
    """
    try:
        return of(store)
    except NoSuchBucket as error:
        raise RequestError(str(error)) from error


def require(store: Store) -> None:
    """Raise RequestError, with what to do, unless there is a build cache; StoreError if that can't be found out."""
    found = require_access(store)
    if found is not Presence.BUILD_CACHE:
        raise RequestError(f"{store.url}: {fault_of(found)}")


def fault_of(presence: Presence) -> str:
    """Return in words why there is no build cache to work with."""
    return {
        Presence.BUILD_CACHE: "",
        Presence.OLD_LAYOUT: "has a build cache of layout 2; spack buildcache migrate makes one of layout 3 of it",
        Presence.NOTHING: f"there is no build cache; check the address. {_MAKES_ONE}",
        Presence.NOT_A_FOLDER: "is a file, not a folder; check the address",
    }[presence]
