"""Decides what is fetched and what is built, in which order. Pure: nodes of concrete specs in, a schedule out.

Rule: a root is built from source unless it is there already; a dependency comes from a build cache where one has it, and
then needs its link and run dependencies only; whatever else is needed is built, dependencies first.
Source: Spack 1.1, `spack install --use-buildcache=package:never,dependencies:auto`.
"""

from collections.abc import Iterable

import msgspec

from buildjob.spack.concrete import Node


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in this order."""

    fetch: list[Node] = []
    """Dependencies to install from a build cache, in one go."""
    build: list[Node] = []
    """To build from source, dependencies first."""
    installed: list[Node] = []
    """Roots that Spack has installed already: only to be published."""
    there: list[Node] = []
    """Roots whose binary is on the mirror already: nothing to do."""


def schedule(nodes: Iterable[Node], roots: Iterable[str], *, on_mirror: frozenset[str] = frozenset()) -> Schedule:
    """Return what is to be done for the roots.

    `nodes` holds every node of their graphs, dependencies first; `on_mirror` the hashes of roots whose binary is on the
    target mirror with a good signature.
    """
    by_hash = {node.hash: node for node in nodes}
    wanted = list(dict.fromkeys(roots))
    there = [by_hash[root] for root in wanted if root in on_mirror]
    installed = [by_hash[root] for root in wanted if root not in on_mirror and by_hash[root].installed]
    to_build: dict[str, Node] = {}
    to_fetch: dict[str, Node] = {}

    def need(node: Node, *, from_source: bool) -> None:
        if node.external or node.installed or node.hash in to_build:
            return
        fetched = node.binary == "available" and not from_source
        if fetched and node.hash in to_fetch:
            return
        for edge in node.dependencies:
            if not fetched or {"link", "run"} & set(edge.types):
                need(by_hash[edge.hash], from_source=edge.hash in wanted)
        (to_fetch if fetched else to_build)[node.hash] = node

    for root in wanted:
        if root not in on_mirror:
            need(by_hash[root], from_source=True)
    return Schedule(fetch=list(to_fetch.values()), build=list(to_build.values()), installed=installed, there=there)


def blocked_by(node: Node, failed: Iterable[str]) -> list[str]:
    """Return the names of the node's direct dependencies whose hashes are among the failed."""
    hashes = set(failed)
    return [edge.name for edge in node.dependencies if edge.hash in hashes]
