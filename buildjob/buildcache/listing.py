"""The story "ls": the binaries that the index names."""

from collections.abc import Iterator

import msgspec

from buildjob.buildcache import index
from buildjob.buildcache.indexing import merge
from buildjob.buildcache.storage.store import Store


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One binary."""

    name: str
    version: str
    hash: str
    architecture: str
    """As Spack writes it: platform, operating system, target."""


class _Arch(msgspec.Struct, frozen=True):
    platform: str = ""
    platform_os: str = ""
    target: msgspec.Raw = msgspec.Raw(b'""')


class _Target(msgspec.Struct, frozen=True):
    name: str = ""


class _Row(msgspec.Struct):
    """The fields of a node that `ls` shows."""

    name: str
    version: str
    arch: _Arch = _Arch()

    @property
    def architecture(self) -> str:
        """As Spack writes it; a target is a name, or an object that has one."""
        target = msgspec.json.decode(self.arch.target, type=str | _Target)
        name = target if isinstance(target, str) else target.name
        return f"{self.arch.platform}-{self.arch.platform_os}-{name}"


def listed(store: Store) -> Iterator[Listed]:
    """Yield the binaries that the index names, in its order. Raises PublishError if there is no index."""
    with index.opened(store) as file:
        for dag_hash, entry, spec in merge.entries(file):
            if entry.in_buildcache:
                row = msgspec.json.decode(spec, type=_Row)
                yield Listed(name=row.name, version=row.version, hash=dag_hash, architecture=row.architecture)
