"""Files without names, bounded one by one and all together."""

from pathlib import Path

import pytest

from delegate.spool import Spool, SpooledFile, SpoolFullError, TooLargeError


def test_a_file_is_read_as_it_was_written_by_several_readers(tmp_path: Path) -> None:
    file = Spool(str(tmp_path), 1 << 20).open(1 << 20)
    content = bytes(range(256)) * 1000
    file.append(content[:7])
    file.append(content[7:])
    first, second = file.chunks(), file.chunks()
    pairs = list(zip(first, second, strict=True))
    assert b"".join(one for one, _ in pairs) == content == b"".join(other for _, other in pairs)
    assert list(tmp_path.iterdir()) == []
    file.close()


def test_bounds_hold_for_each_file_and_for_all(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 10)
    one, other = spool.open(8), spool.open(8)
    one.append(b"12345678")
    with pytest.raises(TooLargeError):
        one.append(b"9")
    with pytest.raises(SpoolFullError, match="8 of 10 bytes are in use"):
        other.append(b"123")
    one.close()
    one.close()
    assert spool.used_bytes == 0
    other.append(b"12345678")
    other.close()


def test_a_folder_that_is_gone_is_a_full_spool(tmp_path: Path) -> None:
    with pytest.raises(SpoolFullError):
        Spool(str(tmp_path / "gone"), 10).open(8)


def test_a_full_disk_is_a_full_spool_and_any_other_fault_stays_one(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 100)
    with open("/dev/full", "wb", buffering=0) as disk, pytest.raises(SpoolFullError, match="No space left"):  # noqa: PTH123
        SpooledFile(spool, disk, 50).append(b"x")
    (tmp_path / "file").touch()
    with open(tmp_path / "file", "rb", buffering=0) as unwritable, pytest.raises(OSError, match="not open for writing"):  # noqa: PTH123
        SpooledFile(spool, unwritable, 50).append(b"x")
