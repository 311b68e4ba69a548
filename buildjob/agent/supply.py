"""What the target needs so that it can serve a package: the link and run dependencies that it lacks, and how they get there.

Each is packed from its prefix, copied from a mirror, or cannot be published. Pure: concrete specs and what is known of them
in, decisions out. What is signed was built from source in this tree, or carries a trusted signature already.
Source: Spack 1.1, `spack buildcache push` sends the link and run dependencies along.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from buildjob.spack.concrete import ConcreteSpec, Origin

RUN_TIME = frozenset({"link", "run"})
"""Types of dependencies that an installed package needs."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be published with a package; dependencies first."""

    pack: list[ConcreteSpec] = []
    copy: list[ConcreteSpec] = []
    """Downloaded from a mirror with a trusted signature."""
    lacking: dict[str, str] = {}
    """Titles of what can't be published, and why."""
    left_out: list[ConcreteSpec] = []
    """What must not be redistributed."""

    @property
    def brought(self) -> list[ConcreteSpec]:
        """What is published with the package."""
        return [*self.pack, *self.copy]


class Supply:
    """What the target has, and what may be published to it. Grows while packages are published."""

    def __init__(self, specs: Iterable[ConcreteSpec], *, there: Iterable[str] = ()) -> None:
        self._by_hash = {spec.hash: spec for spec in specs}
        self._there = set(there)
        self._origins: dict[str, Origin] = {}
        self._left_out: set[str] = set()

    def missing(self, specs: Iterable[ConcreteSpec], *, built: Collection[str] = ()) -> list[ConcreteSpec]:
        """Return what the target lacks of the run-time dependencies of these and may have.

        What is to be `built` is published then.
        """
        wanted = self._wanted(specs)
        return [spec for spec in wanted if spec.hash not in built and spec.hash not in self._left_out]

    def run_time_dependencies(self, specs: Iterable[ConcreteSpec]) -> list[ConcreteSpec]:
        """Return what these need at run time, each once; dependencies first."""
        found: dict[str, ConcreteSpec] = {}
        for spec in specs:
            found |= {each.hash: each for each in run_time_dependencies(spec, self._by_hash)}
        return list(found.values())

    def _wanted(self, specs: Iterable[ConcreteSpec]) -> list[ConcreteSpec]:
        return [spec for spec in self.run_time_dependencies(specs) if spec.hash not in self._there]

    def learn(self, origins: Mapping[str, Origin], *, not_redistributable: Iterable[str] = ()) -> None:
        """Keep where binaries may be had from, and which must not be published."""
        self._origins |= origins
        self._left_out |= set(not_redistributable)

    def origin(self, spec: ConcreteSpec) -> Origin:
        """Return where the binary of a package itself may be had from: what this call builds is `built`."""
        return self._origins.get(spec.hash, _BUILT)

    def must_stay(self, spec: ConcreteSpec) -> bool:
        """Return whether it is known that a package must not be redistributed."""
        return spec.hash in self._left_out

    def published(self, dag_hashes: Iterable[str]) -> None:
        """Keep that the target has these now."""
        self._there |= set(dag_hashes)

    def damaged(self, dag_hashes: Iterable[str]) -> None:
        """Keep that what the target has of these is not whole: it counts as missing."""
        self._there -= set(dag_hashes)

    def failed(self, dag_hash: str) -> None:
        """Keep that a package was built and could not be published."""
        self._origins[dag_hash] = Origin(kind="none", reason="its own publishing failed")

    def needs(self, spec: ConcreteSpec, *, built: Collection[str] = ()) -> Needs:
        """Return what has to be published with a package; what is to be `built` is published then."""
        wanted = self.missing([spec], built=built)
        origins = {each.hash: self._origins.get(each.hash, _UNKNOWN) for each in wanted}
        return Needs(
            pack=[each for each in wanted if origins[each.hash].kind == "built"],
            copy=[each for each in wanted if origins[each.hash].kind == "mirror"],
            lacking={each.title: origins[each.hash].reason for each in wanted if origins[each.hash].kind == "none"},
            left_out=[each for each in self._wanted([spec]) if each.hash in self._left_out],
        )

    def fault(self, spec: ConcreteSpec, url: str, *, built: Collection[str] = ()) -> str:
        """Return why a package can't be published to this address with all that it needs; empty if it can."""
        lacking = self.needs(spec, built=built).lacking
        if not lacking:
            return ""
        causes: dict[str, list[str]] = {}
        for title, reason in lacking.items():
            causes.setdefault(reason, []).append(title)
        named = "; ".join(f"{shortened(titles)}: {reason}" for reason, titles in causes.items())
        return (
            f"{spec.title} needs at run time what {url} lacks and what can't be signed here ({named}). Let Spack build it "
            "from source, or configure a signed mirror that has it and trust its key; --allow-missing publishes without it"
        )


def shortened(titles: Iterable[str]) -> str:
    """Return titles in a text of bounded length."""
    each = list(titles)
    more = f" and {len(each) - _NAMED_AT_MOST} more" if len(each) > _NAMED_AT_MOST else ""
    return ", ".join(each[:_NAMED_AT_MOST]) + more


_NAMED_AT_MOST = 5
"""Packages in one line."""
_BUILT = Origin(kind="built")
_UNKNOWN = Origin(kind="none", reason="it was not built")


def run_time_dependencies(spec: ConcreteSpec, by_hash: Mapping[str, ConcreteSpec]) -> list[ConcreteSpec]:
    """Return all that a package needs at run time, directly or not, without itself and externals; dependencies first."""
    found: dict[str, ConcreteSpec] = {}
    visited: set[str] = set()
    waiting = [(spec, False)]
    while waiting:
        current, is_done = waiting.pop()
        if is_done:
            found[current.hash] = current
        elif current.hash not in visited and not current.external:
            visited.add(current.hash)
            waiting.append((current, True))
            waiting += [(by_hash[edge.hash], False) for edge in current.dependencies if RUN_TIME & set(edge.types)]
    del found[spec.hash]
    return list(found.values())
