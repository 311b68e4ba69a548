"""A build cache's storage in memory, for unit tests. Its clock is a number, and it notes each request."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from buildjob.buildcache.storage.store import (
    ABSENT,
    LARGEST_DOCUMENT_BYTES,
    LocalFile,
    ObjectInfo,
    Store,
    StoredObject,
    Unlisted,
)
from buildjob.errors import Conflict, NotFound, StoreError, Unsupported

Conditions = Literal["supported", "ignored", "rejected"]


class MemoryStore:
    """Objects by key; `now` is the storage's clock."""

    url = "memory://m"

    def __init__(self, conditions: Conditions = "supported") -> None:
        self.conditions = conditions
        self.now = 1_000_000.0
        self.objects: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self.unreadable: set[str] = set()
        """Keys whose content can't be read, as of a file without permission."""
        self.failure: StoreError | None = None
        """What reading any object raises."""
        self.unlisted: Unlisted = []
        """What every listing comes upon and can't read."""
        self.requests: list[tuple[str, str]] = []
        """Method and key, in order."""

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        data = self._get("read", key)
        if len(data) > limit_bytes:
            raise StoreError(f"{key}: larger than {limit_bytes} bytes")
        return StoredObject(data=data, etag=_sha256(data))

    def download(self, key: str, path: Path) -> str:
        data = self._get("download", key)
        path.write_bytes(data)
        return _sha256(data)

    def digest(self, key: str) -> tuple[int, str]:
        data = self._get("digest", key)
        return len(data), _sha256(data)

    def stat(self, key: str) -> ObjectInfo | None:
        self.requests.append(("stat", key))
        return self._info(key) if key in self.objects else None

    def has_content(self, key: str, file: LocalFile) -> bool:
        self.requests.append(("has_content", key))
        return _sha256(self.objects.get(key, b"")) == file.sha256

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        self.requests.append(("write", key))
        if only_if is not None and self.conditions == "rejected":
            raise Unsupported(key)
        if only_if is not None and self.conditions == "supported":
            there = self.objects.get(key)
            if (there is not None) if only_if == ABSENT else (there is None or _sha256(there) != only_if):
                raise Conflict(key)
        self.objects[key], self.modified[key] = data, self.now
        return _sha256(data)

    def upload(self, key: str, file: LocalFile, *, if_absent: bool = False) -> None:
        self.write(key, file.path.read_bytes(), only_if=ABSENT if if_absent else None)

    def delete(self, key: str) -> None:
        self.requests.append(("delete", key))
        self.objects.pop(key, None)

    def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
        if unlisted is not None:
            unlisted += self.unlisted
        self.requests.append(("list", prefix))
        return iter([self._info(key) for key in sorted(self.objects) if key.startswith(prefix)])

    def copy(self, key: str, source: Store) -> bool:
        if not isinstance(source, MemoryStore):
            return False
        self.write(key, source.objects[key])
        return True

    def reopened(self) -> Store:
        return self

    def keys(self, prefix: str = "") -> set[str]:
        """The keys that begin with a prefix, without a request."""
        return {key for key in self.objects if key.startswith(prefix)}

    def _get(self, method: str, key: str) -> bytes:
        self.requests.append((method, key))
        if self.failure:
            raise self.failure
        if key in self.unreadable:
            raise StoreError(f"{self.url}/{key}: permission denied")
        if key not in self.objects:
            raise NotFound(f"{self.url}/{key}: there is no such object")
        return self.objects[key]

    def _info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key=key, size_bytes=len(self.objects[key]), modified_seconds=self.modified[key])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
