"""Decides what is fetched and what is built, in which order. Pure: concrete specs in, a schedule out.

Rule: a root is built from source unless it is there already. A dependency comes from a build cache that has it, and then
needs its link and run dependencies only. All others are built, dependencies first. What only tests need is left alone. What
is built from a developer's folder is never taken from a build cache: its hash does not say what the folder holds.
Source: Spack 1.1, `spack install --use-buildcache=package:never,dependencies:auto`.
"""

from collections.abc import Iterable

import msgspec

from buildjob.spack.concrete import ConcreteSpec


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in this order."""

    fetch: list[ConcreteSpec] = []
    """Dependencies to install from a build cache before anything is built, all at once."""
    build: list[ConcreteSpec] = []
    """To build from source, dependencies first."""
    fetch_before: dict[str, list[ConcreteSpec]] = {}
    """Dependencies to install from a build cache once something that they need is built: before the build of this hash."""
    publish_only: list[ConcreteSpec] = []
    """Roots that Spack has installed already."""
    nothing: list[ConcreteSpec] = []
    """Roots whose binary is in the target build cache already."""

    @property
    def fetched(self) -> list[ConcreteSpec]:
        """All that is installed from a build cache, at whatever time."""
        return [*self.fetch, *(spec for specs in self.fetch_before.values() for spec in specs)]


def schedule(specs: Iterable[ConcreteSpec], roots: Iterable[str], *, published: frozenset[str] = frozenset()) -> Schedule:
    """Return what is to be done for the roots.

    `specs` holds every spec of their graphs, dependencies first; `published` the hashes of roots whose binary is in the
    target build cache with a good signature.
    """
    by_hash = {spec.hash: spec for spec in specs}
    wanted = list(dict.fromkeys(roots))
    nothing = [by_hash[root] for root in wanted if root in published and _may_be_skipped(by_hash[root])]
    rest = [by_hash[root] for root in wanted if by_hash[root] not in nothing]
    # all keep the order in which they are filled: dependencies first
    build: dict[str, ConcreteSpec] = {}
    fetch: dict[str, ConcreteSpec] = {}
    late: dict[str, ConcreteSpec] = {}
    waiting: list[ConcreteSpec] = []
    """Of the late ones, those that no build so far comes after."""
    fetch_before: dict[str, list[ConcreteSpec]] = {}

    def need(spec: ConcreteSpec, *, from_source: bool) -> None:
        # what is built has had all its dependencies visited; what is only fetched may still be needed as one to build
        if spec.is_there or spec.hash in build:
            return
        is_fetched = spec.binary == "available" and not from_source
        if is_fetched and (spec.hash in fetch or spec.hash in late):
            return
        needs = spec.binary_needs if is_fetched else spec.build_needs
        for edge in needs:
            need(by_hash[edge.hash], from_source=edge.hash in wanted)
        if not is_fetched:
            if waiting:  # what they need is built before this one
                fetch_before[spec.hash] = waiting.copy()
                waiting.clear()
            build[spec.hash] = spec
        elif any(edge.hash in build or edge.hash in late for edge in needs):
            late[spec.hash] = spec
            waiting.append(spec)
        else:
            fetch[spec.hash] = spec

    for root in rest:
        need(root, from_source=True)
    return Schedule(
        fetch=list(fetch.values()),
        build=list(build.values()),
        fetch_before=fetch_before,
        publish_only=[root for root in rest if root.is_there],
        nothing=nothing,
    )


def _may_be_skipped(root: ConcreteSpec) -> bool:
    """Return whether a published root needs nothing: the build cache's binary may be of other sources than the folder's."""
    return root.is_there or not root.develop_folders
