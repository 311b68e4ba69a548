"""Files appear whole or not at all, and are compared by content."""

import stat
from pathlib import Path

import pytest

from buildjob.files import has_content, sha256, write_whole

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_a_file_replaces_the_old_one_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_whole(path, b"hello", mode=0o600)
    assert path.read_bytes() == b"hello"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(path, b"hello")
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_compared_by_size_and_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not has_content(path, size_bytes=5, checksum=HELLO)
    path.write_bytes(b"hello")
    assert sha256(path) == HELLO
    assert has_content(path, size_bytes=5, checksum=HELLO)
    assert not has_content(path, size_bytes=4, checksum=HELLO)
    path.write_bytes(b"hallo")
    assert not has_content(path, size_bytes=5, checksum=HELLO)
