"""Whether a storage supports conditional writes: without them, an index could lose entries.

Some servers ignore If-Match silently. So it is tested, once for each build cache, and a yes is recorded in an object.
"""

import secrets

from buildjob.buildcache import layout
from buildjob.buildcache.storage.store import ABSENT, Store
from buildjob.errors import Conflict, NotFound, Unsupported


def require(store: Store) -> None:
    """Raise Unsupported, with what to do, if the storage has no conditional writes."""
    if not are_kept(store):
        raise Unsupported(
            f"{store.url}: the server has no conditional writes (If-Match, If-None-Match), and without them nothing can be "
            "deleted safely; use spack buildcache prune while no push is running"
        )


def are_kept(store: Store) -> bool:
    """Return whether the storage rejects every write whose condition does not hold."""
    if store.stat(layout.CONDITIONAL):
        return True
    probe = f"{layout.OURS}probe-{secrets.token_hex(8)}"
    try:
        first = store.write(probe, b"1", only_if=ABSENT)
        kept = _rejects(store, probe, ABSENT) and not _rejects(store, probe, first) and _rejects(store, probe, first)
    except Unsupported:
        return False
    finally:
        store.delete(probe)
    if kept:
        store.write(layout.CONDITIONAL, b"kept\n")
    return kept


def _rejects(store: Store, key: str, condition: str) -> bool:
    try:
        store.write(key, secrets.token_bytes(8), only_if=condition)
    except (Conflict, NotFound):
        return True
    return False
