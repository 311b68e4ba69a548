"""Where things lie on a mirror: Spack's own places, and ours below one prefix that Spack never looks at.

Pure. Source: Spack 1.1, lib/spack/spack/url_buildcache.py (layout version 3).
"""

from pathlib import Path

SPECS = "v3/manifests/spec/"
INDEX = "v3/manifests/index/index.manifest.json"
KEYS = "v3/manifests/key/"
KEY_INDEX = "v3/manifests/key/keys.manifest.json"
LAYOUT = "v3/layout.json"
LAYOUT_CONTENT = b'{"signing": "gpg"}'
BLOBS = "blobs/sha256/"
MANIFEST_END = ".spec.manifest.json"

TELEMETRY = "telemetry/v1/"

OURS = "spack-farm/v1/"
PENDING = OURS + "pending/"
"""One record of each push that the index may not hold yet."""
REPLACED = OURS + "replaced/"
"""One empty object for each index that another one has replaced, named by its SHA-256."""
CONDITIONAL = OURS + "conditional-writes"
"""Written once it is known that the storage keeps conditions."""
LOCK = OURS + "lock-by-ticket/"
"""Tickets of updates of the index, where the storage keeps no conditions."""
FENCES = OURS + "fence/"
"""There: the newest index, named by the ticket under which it was written."""
PRUNING = OURS + "pruning"
"""There while binaries are being deleted."""
DOOMED = OURS + "doomed/"
"""What will be deleted, and since when."""

INDEX_MEDIA_TYPE = "application/vnd.spack.db.v8+json"
SPEC_MEDIA_TYPE = "application/vnd.spack.spec.v5+json"
KEY_MEDIA_TYPE = "application/pgp-keys"
KEY_INDEX_MEDIA_TYPE = "application/vnd.spack.keyindex.v1+json"


def blob(sha256: str) -> str:
    """Return the key of a blob."""
    return f"{BLOBS}{sha256[:2]}/{sha256}"


def hash_of(manifest_key: str) -> str:
    """Return the DAG hash in the name of a spec's manifest; empty if it has none."""
    return manifest_key.removesuffix(MANIFEST_END).rpartition("-")[2] if manifest_key.endswith(MANIFEST_END) else ""


def manifest_path(name: str, version: str, dag_hash: str) -> Path:
    """Return where a spec's manifest lies below a mirror."""
    return Path("v3") / "manifests" / "spec" / name / f"{name}-{version}-{dag_hash}{MANIFEST_END}"
