"""What a build cache must have beside a binary so that Spack can install it: its link and run dependencies, and theirs.

Externals are the machine's business; of a spliced spec, Spack installs the binary of the spec that it was built as. Also
finds out which binaries are there: one by one if they are few, else from a listing and the index.
Source: Spack 1.1, lib/spack/spack/spec.py (`to_node_dict`), installer.py (`_process_binary_cache_tarball`).
"""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from buildjob.buildcache import clearsigned, documents, index, layout, specs
from buildjob.buildcache.indexing import merge
from buildjob.buildcache.manifest import LARGEST_MANIFEST_BYTES, parse_manifest
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import NotFound, PublishError

_WORTH_LISTING = 32
"""Manifests; for so many, a request that lists a thousand costs less than one for each."""
_LISTED_FOR_EACH = 10
"""In a build cache with more manifests than this for each wanted one, listing ends: the index says more in one request."""
_RUN_TIME = frozenset({"link", "run"})
_NAMED_AT_MOST = 5
"""Missing dependencies in one line."""
LINES_AT_MOST = 100
"""Binaries that lack something; a build cache beside another one has as many as it has binaries."""


class _EdgeParameters(msgspec.Struct, frozen=True):
    deptypes: list[str] = []


class _Edge(msgspec.Struct, frozen=True):
    hash: str
    parameters: _EdgeParameters = _EdgeParameters()


class _BuiltAs(msgspec.Struct):
    hash: str


class _Node(msgspec.Struct):
    """The fields of a node that are read."""

    name: str
    version: str = ""
    external: dict[str, msgspec.Raw] | None = None
    build_spec: _BuiltAs | None = None
    dependencies: list[_Edge] = []

    @property
    def run_time(self) -> list[str]:
        return [edge.hash for edge in self.dependencies if _RUN_TIME & set(edge.parameters.deptypes)]


_NODE = msgspec.json.Decoder(_Node)  # before there are threads: see manifest.py


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """A binary that another one needs at run time."""

    title: str
    """`name@version/hash7`, as people write it."""
    manifest_key: str


def run_time_closure(root: str, nodes: Mapping[str, specs.SpecNode]) -> dict[str, Needed]:
    """Return by DAG hash every binary that a root needs at run time, without its own. Raises PublishError."""
    found: dict[str, Needed] = {}
    visited = {root}
    waiting = _read(nodes[root], root).run_time
    while waiting:
        dag_hash = waiting.pop()
        if dag_hash in visited:
            continue
        visited.add(dag_hash)
        node = _read(nodes[dag_hash], dag_hash)
        if node.external is not None:
            continue
        waiting += node.run_time
        built_as = node.build_spec.hash if node.build_spec else dag_hash
        if built_as != root:
            found[built_as] = _needed(built_as, _read(nodes[built_as], built_as) if built_as in nodes else node)
    return found


def direct(root: str, nodes: Mapping[str, specs.SpecNode]) -> list[str]:
    """Return the DAG hashes of the binaries that a root needs directly at run time. Raises PublishError."""
    children = {each: _read(nodes[each], each) for each in _read(nodes[root], root).run_time}
    return [
        child.build_spec.hash if child.build_spec else dag_hash
        for dag_hash, child in children.items()
        if child.external is None
    ]


def _read(node: specs.SpecNode, dag_hash: str) -> _Node:
    try:
        return _NODE.decode(node.text)
    except msgspec.MsgspecError as error:
        raise PublishError(f"node {dag_hash} is not in Spack's form: {error}") from error


def _needed(dag_hash: str, node: _Node) -> Needed:
    key = layout.manifest_key(node.name, node.version, dag_hash)
    return Needed(title=f"{node.name}@{node.version}/{dag_hash[:7]}", manifest_key=key)


def present(store: Store, manifest_keys: Collection[str], *, workers: int, believe_index: bool = False) -> set[str]:
    """Return which of these manifests a build cache has: few are asked for one by one, many are listed.

    `believe_index` saves requests where a build cache is too large to be listed.
    """
    wanted = set(manifest_keys)
    found: set[str] = set()
    if len(wanted) >= _WORTH_LISTING:
        most = _LISTED_FOR_EACH * len(wanted)
        listed = {info.key for info in itertools.islice(store.list(layout.SPECS), most)}
        found = wanted & listed
        if len(listed) < most:
            return found  # the listing was complete
        if believe_index:
            found |= _indexed(store, wanted - found)
    asked = in_parallel(wanted - found, store.stat, workers=workers)
    return found | {key for key, info in asked if info is not None}


def readable_among(store: Store, manifest_keys: Collection[str], *, workers: int, signed: bool) -> set[str]:
    """Return which of these are manifests; with `signed` only signed ones, by any key: clients take no others."""
    read = in_parallel(manifest_keys, lambda key: _is_readable(store, key, signed=signed), workers=workers)
    return {key for key, is_readable in read if is_readable}


def _is_readable(store: Store, manifest_key: str, *, signed: bool) -> bool:
    try:
        text = store.read(manifest_key, limit_bytes=LARGEST_MANIFEST_BYTES).data
    except NotFound:
        return False
    try:
        parse_manifest(text, where=manifest_key)
    except PublishError:
        return False
    return clearsigned.is_signed(text) or not signed


def _indexed(store: Store, manifest_keys: set[str]) -> set[str]:
    """Return which of these manifests the index names; none if it can't be read."""
    by_hash = {layout.hash_of(key): key for key in manifest_keys}
    try:
        with index.opened(store) as file:
            return {by_hash[dag_hash] for dag_hash in merge.binaries_among(file, set(by_hash))}
    except PublishError:
        return set()


def missing_of(store: Store, manifest_key: str, there: Collection[str]) -> list[Needed]:
    """Return what a binary needs at run time and is not among the DAG hashes that are there. Raises as `read_spec`."""
    nodes = documents.read_spec(store, manifest_key)
    closure = run_time_closure(next(iter(nodes)), nodes)
    return [needed for dag_hash, needed in closure.items() if dag_hash not in there]


def sentence(missing: Iterable[Needed]) -> str:
    """Return what is missing, in one line of bounded length."""
    titles = sorted(needed.title for needed in missing)
    named = ", ".join(titles[:_NAMED_AT_MOST])
    more = f" and {len(titles) - _NAMED_AT_MOST} more" if len(titles) > _NAMED_AT_MOST else ""
    what = "which it needs at run time, is" if len(titles) == 1 else "which it needs at run time, are"
    return f"{named}{more}, {what} not in the build cache"


class Graph:
    """What the binaries of a whole build cache need directly, in a few tens of bytes for each edge."""

    def __init__(self) -> None:
        self._needs: dict[str, tuple[str, ...]] = {}
        self._one: dict[str, str] = {}
        """Each DAG hash once, however many edges lead to it."""

    def add(self, manifest_key: str, needs: Iterable[str]) -> None:
        """Keep what a binary needs."""
        self._needs[manifest_key] = tuple(self._one.setdefault(each, each) for each in needs)

    def lacking(self, there: Collection[str]) -> list[str]:
        """Return the manifest keys of the binaries that need something that is not there."""
        return [key for key, needs in self._needs.items() if any(each not in there for each in needs)]


def faults(store: Store, lacking: Iterable[str], there: Collection[str], *, workers: int) -> Iterator[tuple[str, str]]:
    """Yield the manifest key of each lacking binary, and the sentence that says what is missing; of many, only how many."""
    keys = list(lacking)
    known: dict[str, bool] = {}
    """Whether a manifest has appeared since the build cache was listed."""
    for manifest_key in keys[:LINES_AT_MOST]:
        try:
            missing = missing_of(store, manifest_key, there)
        except NotFound:
            continue  # deleted since it was checked
        unknown = {needed.manifest_key for needed in missing} - known.keys()
        known |= dict.fromkeys(unknown, False) | dict.fromkeys(present(store, unknown, workers=workers), True)
        if missing := [needed for needed in missing if not known[needed.manifest_key]]:
            yield manifest_key, sentence(missing)
    if len(keys) > LINES_AT_MOST:
        yield layout.SPECS, f"{len(keys) - LINES_AT_MOST} more binaries need at run time what is not in the build cache"
