"""Made-up binaries: trees such as `spack buildcache push --unsigned` writes, in microseconds."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from buildjob.buildcache import layout
from buildjob.buildcache.manifest import NOT_REDISTRIBUTABLE, parse_manifest
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import in_parallel

MakeStore = Callable[..., Store]
"""Makes an empty store; takes the options of `S3Store`, which a folder ignores."""


def dag_hash(text: str) -> str:
    """Return a hash that looks like Spack's DAG hash."""
    return base64.b32encode(hashlib.sha1(text.encode()).digest()).decode().lower()


def nodes_of(name: str, dependencies: Iterable[str] = (), *, types: Iterable[str] = ("build",)) -> list[dict[str, Any]]:
    """Return the nodes of a concrete spec, the root first; every dependency depends on glibc alone, which is external."""
    needed = [*dependencies, "glibc"]
    made = [node(name, needed, types=types)]
    made += [node(each, ["glibc"] if each != "glibc" else []) for each in dict.fromkeys(needed)]
    return made


def node(name: str, dependencies: Iterable[str], *, types: Iterable[str] = ()) -> dict[str, Any]:
    edges = [
        {
            "name": each,
            "hash": dag_hash(each),
            "parameters": {"deptypes": ["link"] if each == "glibc" else list(types), "virtuals": []},
        }
        for each in sorted(set(dependencies))
    ]
    return {
        "name": name,
        "version": "1.0",
        "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64_v3"},
        "namespace": "made_up",
        "parameters": {"tricky": 'a "quoted" } , { \\ text', "cflags": []},
        "package_hash": "x" * 52,
        **({"dependencies": edges} if edges else {}),
        **({"external": {"path": "/usr", "module": None, "extra_attributes": {}}} if name == "glibc" else {}),
        "annotations": {"original_specfile_version": 5},
        "hash": dag_hash(name),
    }


def add_entry(
    folder: Path,
    name: str,
    dependencies: Iterable[str] = (),
    *,
    content: bytes = b"",
    types: Iterable[str] = ("build",),
    mark: list[str] | None = None,
    developed: str = "",
) -> str:
    """Add one unsigned binary to a tree; return its manifest's key. Its dependencies are of these types.

    `mark` names what must not be redistributed, `developed` the package that is built from a developer's folder.
    """
    nodes = nodes_of(name, dependencies, types=types)
    for each in nodes:
        if each["name"] == developed:
            each["parameters"]["dev_path"] = "/home/me"
    spec = {"spec": {"_meta": {"version": 5}, "nodes": nodes}, "buildcache_layout_version": 2}
    rows = []
    for data, kind in (
        (content or f"tarball of {name}".encode() * 50, "application/vnd.spack.install.v2.tar+gzip"),
        (gzip.compress(json.dumps(spec, separators=(",", ":")).encode(), mtime=0), layout.SPEC_MEDIA_TYPE),
    ):
        digest = hashlib.sha256(data).hexdigest()
        blob = folder / layout.blob(digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        rows.append(
            {
                "contentLength": len(data),
                "mediaType": kind,
                "compression": "gzip",
                "checksumAlgorithm": "sha256",
                "checksum": digest,
            }
        )
    key = f"{layout.SPECS}{name}/{name}-1.0-{dag_hash(name)}{layout.MANIFEST_END}"
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest = {"version": 3, "data": rows} | ({} if mark is None else {NOT_REDISTRIBUTABLE: mark})
    path.write_text(json.dumps(manifest, indent=0, separators=(",", ":")))
    return key


def as_it_is(text: bytes, _where: str) -> bytes:
    """Sign nothing."""
    return text


def installs(store: Store) -> dict[str, Any]:
    """Return the index's entries; none if there is no index."""
    if store.stat(layout.INDEX) is None:
        return {}
    manifest = parse_manifest(store.read(layout.INDEX).data, where="index")
    (blob,) = manifest.data
    text = store.read(layout.blob(blob.checksum)).data
    assert len(text) == blob.content_length
    assert hashlib.sha256(text).hexdigest() == blob.checksum
    database = json.loads(text)["database"]
    assert database["version"] == "8"
    found: dict[str, Any] = database["installs"]
    return found


def expected(trees: dict[str, list[str]]) -> dict[str, Any]:
    """Return the entries that Spack's own rebuild gives for binaries with these dependencies."""
    nodes = {each["hash"]: each for name, needed in trees.items() for each in nodes_of(name, needed)}
    cached = {dag_hash(name) for name in trees}
    counts = dict.fromkeys(nodes, 0)
    for each in nodes.values():
        for edge in each.get("dependencies", ()):
            counts[edge["hash"]] += 1
    return {key: {"spec": each, "ref_count": counts[key], "in_buildcache": key in cached} for key, each in nodes.items()}


def consistent(store: Store) -> int:
    """Check that every manifest's blobs exist and are whole; return the number of manifests."""

    def check(key: str) -> None:
        for blob in parse_manifest(store.read(key).data, where=key).data:
            data = store.read(layout.blob(blob.checksum)).data
            assert hashlib.sha256(data).hexdigest() == blob.checksum

    keys = (seen.key for seen in store.list(layout.SPECS) if seen.key.endswith(layout.MANIFEST_END))
    return len(list(in_parallel(keys, check, workers=4)))
