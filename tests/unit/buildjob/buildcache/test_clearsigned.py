"""A clearsigned text has one meaning for gpg and for Spack, or it is rejected; and JSON is what Python makes of it."""

import math

import pytest

from buildjob.buildcache import clearsigned
from buildjob.errors import PublishError

BODY = b'{"version":3,\n"data":[]}'
HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n\niHUEARYIAB0=\n=36Xe\n-----END PGP SIGNATURE-----\n"
BLOCK = HEAD + BODY + b"\n" + SIGNATURE


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        BLOCK.rstrip(b"\n"),
        BLOCK + b"\n \r\n\t",
        BLOCK.replace(b"-----\n", b"----- \t\n"),
        BLOCK.replace(b"\n\niHU", b"\nVersion: GnuPG v2\nComment: https://gnupg.org - a tool\n\niHU"),
    ],
)
def test_one_block_and_blanks_are_taken(text: bytes) -> None:
    assert clearsigned.is_signed(text)
    assert clearsigned.body_of(text) == BODY


def test_line_ends_of_windows_stay_in_the_body() -> None:
    assert clearsigned.body_of(BLOCK.replace(b"\n", b"\r\n")) == BODY.replace(b"\n", b"\r\n") + b"\r"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not signed"),
        (BODY, "not signed"),
        (SIGNATURE, "not signed"),
        (b"hello\n" + BLOCK, "text stands before"),
        (b"\n" + BLOCK, "text stands before"),
        (b"\xef\xbb\xbf" + BLOCK, "text stands before"),
        (BLOCK + b"hello\n", "text stands behind"),
        (BLOCK + BODY, "text stands behind"),
        (BLOCK + b"\0", "text stands behind"),
        (BLOCK + BLOCK, "more than one"),
        (BLOCK + SIGNATURE, "more than one"),
        (HEAD + BLOCK, "more than one"),
        (BLOCK.replace(b"\n\niHU", b"\n\n-----BEGIN PGP MESSAGE-----\niHU"), "more than one"),
        (HEAD, "not a signed block"),
        (HEAD + BODY, "not a signed block"),
        (BLOCK.replace(b"-----END", b"----END"), "not a signed block"),
        (BLOCK.replace(b"Hash: SHA256\n", b""), "not a signed block"),
        (BLOCK.replace(b"SHA256", b"SHA256, SHA512"), "not a signed block"),
        (BLOCK.replace(b"SHA256\n", b"SHA256\nHash: SHA512\n"), "not a signed block"),
        (BLOCK.replace(b"SHA256\n", b"SHA256\nComment: x\n"), "not a signed block"),
        (BLOCK.replace(b"Hash:", b"NotDashEscaped: x\nHash:"), "not a signed block"),
        (BLOCK.replace(b"\n{", b"\n- {"), "begins with a dash"),
        (BLOCK.replace(b'"data"', b"-----\n"), "begins with a dash"),
        (BLOCK.replace(b'"data":', b'"x":"' + b"x" * 20_000 + b'","data":'), "longer than"),
    ],
)
def test_what_can_be_read_in_two_ways_is_rejected_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(PublishError, match=reason):
        clearsigned.body_of(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":3.0}', {"a": 3}),
        (b'{"a":3.5,"b":1e2}', {"a": 3.5, "b": 100}),
        (b" \r\n[1]\t ", [1]),
        (b'"\\ud800"', "\ud800"),
    ],
)
def test_json_is_what_python_makes_of_it(text: bytes, value: object) -> None:
    assert clearsigned.json_of(text) == value


def test_a_number_too_large_for_a_float_is_one() -> None:
    assert math.isinf(clearsigned.json_of(b"1e999"))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"{", b"{}{}", b'{"a":"\0"}', b"{'a':1}", b"[" * 200_000, b"9" * 5000,
        b"\xff",
    ],
)  # fmt: skip
def test_any_other_bytes_are_one_error(text: bytes) -> None:
    with pytest.raises(PublishError, match="not JSON"):
        clearsigned.json_of(text)
