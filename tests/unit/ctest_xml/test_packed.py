import base64
import gzip
import zlib

import pytest

from ctest_xml.packed import Packed

TEXT = base64.encodebytes(zlib.compress(b"".join(b"line %d\n" % number for number in range(5000)))).decode()
BOMB = base64.b64encode(zlib.compress(bytes(600_000_000), 1)).decode()


def losses(text: str, *, compressed: bool = False, piece: int = 7) -> list[str]:
    packed = Packed(compressed=compressed)
    for start in range(0, len(text), piece):
        packed.feed(text[start : start + piece])
    return list(packed.losses())


@pytest.mark.parametrize("piece", [1, 3, 76, 10**6])
def test_a_whole_stream_is_good_however_it_is_cut(piece: int) -> None:
    assert losses(TEXT, compressed=True, piece=piece) == []


@pytest.mark.parametrize(
    ("text", "compressed", "reason"),
    [
        ("%%%%", False, "not base64"),
        ("====", False, "not base64"),
        ("eHh", False, "is missing"),
        (base64.b64encode(gzip.compress(b"x" * 100, mtime=0)).decode(), True, "must be zlib, not gzip"),
        (TEXT.replace("\n", "")[:400], True, "a whole zlib stream"),
        ("", True, "a whole zlib stream"),
    ],
)
def test_what_cdash_cannot_unpack_is_said(text: str, reason: str, *, compressed: bool) -> None:
    (found,) = losses(text, compressed=compressed)
    assert reason in found


def test_a_fault_is_said_once_whatever_follows() -> None:
    assert len(losses("%%%%" * 100)) == 1


@pytest.mark.parametrize("piece", [1, 4, 7, 12, 100])
@pytest.mark.parametrize("text", ["YXR0YWNoZWQK====", "YXR0YWNoZWQ=\n==="])
def test_the_superfluous_ending_of_ctest_is_tolerated_however_it_is_cut(text: str, piece: int) -> None:
    assert losses(text, piece=piece) == []


def test_what_unpacks_to_more_than_php_may_hold_is_refused() -> None:
    (found,) = losses(BOMB, compressed=True, piece=1 << 16)
    assert "CDash would lose the file" in found
