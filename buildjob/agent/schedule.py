"""Decides what is fetched and what is built, in which order. Pure: concrete specs in, a schedule out.

Rule: a root is built from source unless it is there already. A dependency comes from a build cache that has it, and then
needs its link and run dependencies only. All others are built, dependencies first.
Source: Spack 1.1, `spack install --use-buildcache=package:never,dependencies:auto`.
"""

from collections.abc import Iterable

import msgspec

from buildjob.spack.concrete import ConcreteSpec


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in this order."""

    fetch: list[ConcreteSpec] = []
    """Dependencies to install from a build cache, all at once."""
    build: list[ConcreteSpec] = []
    """To build from source, dependencies first."""
    publish_only: list[ConcreteSpec] = []
    """Roots that Spack has installed already."""
    nothing: list[ConcreteSpec] = []
    """Roots whose binary is in the target build cache already."""


def schedule(specs: Iterable[ConcreteSpec], roots: Iterable[str], *, published: frozenset[str] = frozenset()) -> Schedule:
    """Return what is to be done for the roots.

    `specs` holds every spec of their graphs, dependencies first; `published` the hashes of roots whose binary is in the
    target build cache with a good signature.
    """
    by_hash = {spec.hash: spec for spec in specs}
    wanted = list(dict.fromkeys(roots))
    nothing = [by_hash[root] for root in wanted if root in published]
    publish_only = [by_hash[root] for root in wanted if root not in published and by_hash[root].installed]
    # both keep the order in which they are filled: dependencies first
    build: dict[str, ConcreteSpec] = {}
    fetch: dict[str, ConcreteSpec] = {}

    def need(spec: ConcreteSpec, *, from_source: bool) -> None:
        # what is built has had all its dependencies visited; what is only fetched may still be needed as one to build
        if spec.external or spec.installed or spec.hash in build:
            return
        is_fetched = spec.binary == "available" and not from_source
        if is_fetched and spec.hash in fetch:
            return
        for edge in spec.dependencies:
            # a binary needs no compiler and no build tools, so these are not even fetched
            if not is_fetched or {"link", "run"} & set(edge.types):
                need(by_hash[edge.hash], from_source=edge.hash in wanted)
        (fetch if is_fetched else build)[spec.hash] = spec

    for root in wanted:
        if root not in published:
            need(by_hash[root], from_source=True)
    return Schedule(fetch=list(fetch.values()), build=list(build.values()), publish_only=publish_only, nothing=nothing)


def blocked_by(spec: ConcreteSpec, failed: Iterable[str]) -> list[str]:
    """Return the names of the spec's direct dependencies whose hashes are among the failed."""
    hashes = set(failed)
    return [edge.name for edge in spec.dependencies if edge.hash in hashes]
