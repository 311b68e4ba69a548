"""Concrete specs as far as an index needs them: the text of each node, by DAG hash, and its dependencies.

Pure; knows the form of a spec file, not where it lies. Source: Spack 1.1, lib/spack/spack/spec.py (`to_dict`, format 5).
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from buildjob.buildcache import layout
from buildjob.errors import PublishError

_SPEC_VERSION = 5
_LATEST_LAYOUT = 3
"""Spack reads no spec of a later one."""
_HASH = re.compile(r"[a-z2-7]{32}")


class SpecNode(msgspec.Struct, frozen=True, kw_only=True):
    """One concrete spec, as Spack writes it into spec files and into the index alike."""

    text: bytes
    """Its JSON."""
    dependencies: tuple[str, ...]
    """DAG hashes of its direct dependencies, each once."""


class _Head(msgspec.Struct):
    """The fields of a node that are read."""

    hash: str
    dependencies: list["_Dependency"] = []


class _Dependency(msgspec.Struct):
    hash: str


class _SpecFile(msgspec.Struct):
    spec: "_Nodes"
    buildcache_layout_version: int = 0


class _Meta(msgspec.Struct):
    version: int


class _Nodes(msgspec.Struct):
    nodes: list[msgspec.Raw]
    meta: _Meta = msgspec.field(name="_meta")


_HEAD, _SPEC_FILE = msgspec.json.Decoder(_Head), msgspec.json.Decoder(_SpecFile)  # before there are threads: see manifest.py


def parse_spec(text: bytes, *, where: str) -> dict[str, SpecNode]:
    """Return the nodes of a spec file by DAG hash, the root first. Raises PublishError, naming `where`."""
    try:
        file = _SPEC_FILE.decode(text)
        spec = file.spec
        nodes = dict(_node(bytes(raw)) for raw in spec.nodes)
    except msgspec.MsgspecError as error:
        raise PublishError(f"{where}: not a concrete spec: {error}") from error
    if spec.meta.version != _SPEC_VERSION:
        # Spack would translate its nodes for the index
        raise PublishError(f"{where}: spec format {spec.meta.version}, but Spack 1.1 writes {_SPEC_VERSION}; build it again")
    if file.buildcache_layout_version > _LATEST_LAYOUT:
        raise PublishError(
            f"{where}: of build cache layout {file.buildcache_layout_version}, which is too new for Spack 1.1"
        )
    for dag_hash, node in nodes.items():
        if not _HASH.fullmatch(dag_hash) or any(each not in nodes for each in node.dependencies):
            raise PublishError(f"{where}: node '{dag_hash[:40]}' is incomplete")
    if not nodes:
        raise PublishError(f"{where}: the spec has no nodes")
    return nodes


def parse_node(text: bytes) -> SpecNode:
    """Return a node. Raises msgspec.MsgspecError if it is not one."""
    return _node(text)[1]


def _node(text: bytes) -> tuple[str, SpecNode]:
    head = _HEAD.decode(text)
    return head.hash, SpecNode(text=text, dependencies=tuple(dict.fromkeys(edge.hash for edge in head.dependencies)))


class _Named(msgspec.Struct):
    """The fields of a node that name its manifest."""

    name: str = ""
    version: str = ""


_NAMED = msgspec.json.Decoder(_Named)


def is_named(path: str, dag_hash: str, node: SpecNode) -> bool:
    """Return whether a manifest's path, below that of all specs, is the one at which Spack looks for this node."""
    head = _NAMED.decode(node.text)
    return layout.SPECS + path == layout.manifest_key(head.name, head.version, dag_hash)


class _Parameters(msgspec.Struct, frozen=True):
    """The parameter of a node that `spack develop` sets."""

    dev_path: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Built(msgspec.Struct):
    parameters: _Parameters = _Parameters()


_BUILT = msgspec.json.Decoder(_Built)


def is_developed(nodes: Iterable[SpecNode]) -> bool:
    """Return whether one of the nodes is built from a developer's folder: its hash does not say what was in it."""
    suspects = (node.text for node in nodes if b'"dev_path"' in node.text)  # a look at each byte is cheaper than decoding
    return any(_BUILT.decode(text).parameters.dev_path is not msgspec.UNSET for text in suspects)


def reachable(roots: Iterable[str], nodes: Mapping[str, SpecNode]) -> dict[str, SpecNode]:
    """Return the nodes that can be reached from the roots. Raises PublishError if one is missing."""
    found: dict[str, SpecNode] = {}
    waiting = list(roots)
    while waiting:
        dag_hash = waiting.pop()
        if dag_hash in found:
            continue
        if dag_hash not in nodes:
            raise PublishError(f"node {dag_hash} is missing in a push record")
        found[dag_hash] = nodes[dag_hash]
        waiting += nodes[dag_hash].dependencies
    return found
