"""The manifests of binaries in a build cache, and what lies among them and is none: that is left out, and reported.

Anything may lie in a folder or below a prefix that several people write to. One such object must not stop the others from
being indexed, verified or pruned. Reads names, no content.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from buildjob.buildcache import layout
from buildjob.buildcache.storage.store import Store, Unlisted
from buildjob.errors import PublishError

# Spack's own form, which its clients ask for: zlib/zlib-1.3-HASH.spec.manifest.json
_FORM = re.compile(r"(?P<name>[^/]+)/(?P=name)-[^/]+-[a-z2-7]{32}" + re.escape(layout.MANIFEST_END))


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong in a build cache."""

    key: str
    """Printable, whatever the object's name is."""
    text: str


def fault_of(key: str, text: str) -> Fault:
    """Return a fault of an object whose name may be anything a file system allows, also bytes that are not text."""
    return Fault(key=key if key.isprintable() else ascii(key)[1:-1], text=text)


def fault_from(error: PublishError, key: str, store: Store) -> Fault:
    """Return what an error says of an object, without its address, which most errors begin with."""
    return fault_of(key, str(error).removeprefix("build cache ").removeprefix(f"{store.url}/{key}: "))


def manifest_keys(store: Store, left_out: Callable[[Fault], object]) -> Iterator[str]:
    """Yield the keys of all binaries' manifests, in their order; `left_out` receives what looks like one and is none."""
    unlisted: Unlisted = []
    for info in store.list(layout.SPECS, unlisted=unlisted):
        if is_manifest(info.key, left_out):
            yield info.key
    for key in unlisted:
        left_out(unlisted_fault(key))


def count(store: Store) -> int:
    """Return how many binaries there are: a listing of its own, for those who want to know how far another one is."""
    return sum(1 for _ in manifest_keys(store, lambda _fault: None))


def is_manifest(key: str, left_out: Callable[[Fault], object]) -> bool:
    """Return whether a key below that of all specs is that of a binary's manifest, by its form.

    What does not end as a manifest does is ignored, as Spack ignores it. Spack would read one at any path into its index;
    its clients look for it under its own name only.
    """
    path = key.removeprefix(layout.SPECS)
    if _FORM.fullmatch(path) and path.isprintable():
        return True
    if path.endswith(layout.MANIFEST_END):
        left_out(fault_of(key, f"not where Spack looks for one: NAME/NAME-VERSION-HASH{layout.MANIFEST_END}"))
    elif f"{layout.MANIFEST_END}/" in path:
        left_out(fault_of(key, "lies in a folder that is named as a manifest"))
    return False


def unlisted_fault(key: str) -> Fault:
    """Return the fault of what a listing came upon and could not read."""
    text = "can't be read: no permission, or a link that leads nowhere" if key.endswith("/") else "not a file"
    return fault_of(key.rstrip("/"), text)
