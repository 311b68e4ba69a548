"""Whether a storage keeps the conditions of writes, on which it depends that no entry of an index is ever lost.

Some servers ignore If-Match without a word, so it is tried out, once a mirror: the answer is kept in an object.
"""

import secrets

from buildjob.buildcache import layout
from buildjob.buildcache.storage.store import ABSENT, Store
from buildjob.errors import Conflict, NotFound, Unsupported


def require(store: Store) -> None:
    """Raise Unsupported, with what to do, if the storage does not keep conditions."""
    if not are_kept(store):
        raise Unsupported(
            f"{store.url}: the server does not keep conditional writes (If-Match, If-None-Match), without which nothing can "
            "be deleted safely; delete with spack buildcache prune while nobody pushes"
        )


def are_kept(store: Store) -> bool:
    """Say whether the storage refuses every write whose condition does not hold."""
    if store.stat(layout.CONDITIONAL):
        return True
    probe = f"{layout.OURS}probe-{secrets.token_hex(8)}"
    try:
        first = store.write(probe, b"1", only_if=ABSENT)
        kept = _refuses(store, probe, ABSENT) and not _refuses(store, probe, first) and _refuses(store, probe, first)
    except Unsupported:
        return False
    finally:
        store.delete(probe)
    if kept:
        store.write(layout.CONDITIONAL, b"kept\n")
    return kept


def _refuses(store: Store, key: str, condition: str) -> bool:
    try:
        store.write(key, secrets.token_bytes(8), only_if=condition)
    except (Conflict, NotFound):
        return True
    return False
