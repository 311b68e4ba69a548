"""A build cache in a folder, where others may put what is no file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import LocalFile
from buildjob.errors import StoreError

KEY = "v3/layout.json"
READS: dict[str, Callable[[FolderStore, Path], object]] = {
    "read": lambda store, _: store.read(KEY),
    "digest": lambda store, _: store.digest(KEY),
    "download": lambda store, path: store.download(KEY, path),
    "compare": lambda store, path: store.has_content(KEY, LocalFile(path=path, size_bytes=0, sha256="")),
}
NO_FILES: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str, read: str) -> None:
    (tmp_path / "v3").mkdir()
    NO_FILES[kind](tmp_path / KEY)
    with pytest.raises(StoreError, match=f"{KEY}: not a file"):
        READS[read](FolderStore(tmp_path), tmp_path / "copy")


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match="Is a directory"):
        FolderStore(tmp_path).read(KEY)
