"""The keys of a build cache: Spack's own, and ours below one prefix that Spack never reads.

Pure. Source: Spack 1.1, lib/spack/spack/url_buildcache.py (layout version 3).
"""

import re

MANIFESTS = "v3/manifests/"
SPECS = "v3/manifests/spec/"
INDEX = "v3/manifests/index/index.manifest.json"
INDICES = "v3/manifests/index/"
KEYS = "v3/manifests/key/"
KEY_INDEX = "v3/manifests/key/keys.manifest.json"
LAYOUT = "v3/layout.json"
LAYOUT_CONTENT = b'{"signing": "gpg"}'
BLOBS = "blobs/sha256/"
MANIFEST_END = ".spec.manifest.json"

TELEMETRY = "telemetry/v1/"

OURS = "spack-farm/v1/"
PENDING = OURS + "pending/"
"""Push records: one or more of each push whose binaries the index may lack."""
REPLACED = OURS + "replaced/"
"""An empty object for each index that was replaced, named by its SHA-256."""
CONDITIONAL = OURS + "conditional-writes"
"""There once a test has shown that the storage supports conditional writes."""
LOCK = OURS + "lock-by-ticket/"
"""Tickets of updates of the index, where the storage has no conditional writes."""
FENCING_TOKENS = OURS + "fence/"
"""The SHA-256 of the newest index, in an object named by the fencing token of its writer."""
PRUNING = OURS + "pruning"
"""There while binaries are being deleted."""
MARKED = OURS + "doomed/"
"""What prunes have marked for deletion, a document for each run."""

VERIFIED = OURS + "verified.json"
"""What the last verification that was recorded has found."""

INDEX_MEDIA_TYPE = "application/vnd.spack.db.v8+json"
TARBALL_MEDIA_TYPE = "application/vnd.spack.install.v2.tar+gzip"
SPEC_MEDIA_TYPE = "application/vnd.spack.spec.v5+json"
KEY_MEDIA_TYPE = "application/pgp-keys"
KEY_INDEX_MEDIA_TYPE = "application/vnd.spack.keyindex.v1+json"


def blob(sha256: str) -> str:
    """Return the key of a blob."""
    return f"{BLOBS}{sha256[:2]}/{sha256}"


def is_sha256(text: str) -> bool:
    """Return whether a text is a SHA-256 as it names blobs: hexadecimal, in small letters."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def hash_of(manifest_key: str) -> str:
    """Return the DAG hash in the key of a binary's manifest; empty for any other key."""
    return manifest_key.removesuffix(MANIFEST_END).rpartition("-")[2] if manifest_key.endswith(MANIFEST_END) else ""


def manifest_key(name: str, version: str, dag_hash: str) -> str:
    """Return the key of a binary's manifest. Versions may hold `/`, `=` and more, which a key can't.

    Source: `URLBuildcacheEntry.get_manifest_url`, llnl/util/filesystem.py (`polite_filename`).
    """
    stem = re.sub(r"[^A-Za-z0-9_+.-]", "_", f"{name}-{version}-{dag_hash}")
    return f"{SPECS}{name}/{stem}{MANIFEST_END}"
