"""How long certificates and tokens are valid, from their own content. Pure; what cannot be read has no end.

Source: RFC 5280, 4.1 (the sixth part of a certificate's body is its validity); RFC 7519, `exp`.
"""

import base64
import binascii
import datetime as dt
import json

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x17, 0x18
_VERSION = 0xA0
_LENGTH_BITS = 0x80
_MOST_LENGTH_BYTES = 4
_CENTURY_TURNS_AT = 50
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_JWT_PARTS = 3


def certificate_ends(pem: str) -> list[float]:
    """Return the Unix time at which each certificate of a PEM text ends; those that cannot be read are left out."""
    ends = []
    for block in pem.split(_BEGIN)[1:]:
        try:
            ends.append(_end_of(binascii.a2b_base64("".join(block.partition(_END)[0].split()))))
        except (ValueError, IndexError):
            continue
    return ends


def token_end(token: str) -> float | None:
    """Return the Unix time at which a JSON web token ends; None for one without an end, or another kind of token."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None


def _end_of(der: bytes) -> float:
    """Return when a certificate ends. Raises ValueError or IndexError if it is not one."""
    certificate = _content(der, 0, _SEQUENCE)[0]
    body = _content(certificate, 0, _SEQUENCE)[0]
    position = _after(body, 0) if body[0] == _VERSION else 0
    for _ in ("serial number", "signature", "issuer"):
        position = _after(body, position)
    validity = _content(body, position, _SEQUENCE)[0]
    return _time(validity, _after(validity, 0))


def _content(data: bytes, position: int, tag: int) -> tuple[bytes, int]:
    """Return the content of the element at a position, and where the next one begins."""
    if data[position] != tag:
        raise ValueError("another element")
    length, start = data[position + 1], position + 2
    if length & _LENGTH_BITS:
        count = length & ~_LENGTH_BITS
        if not 0 < count <= _MOST_LENGTH_BYTES:
            raise ValueError("no length")
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + length > len(data):
        raise ValueError("cut off")
    return data[start : start + length], start + length


def _after(data: bytes, position: int) -> int:
    return _content(data, position, data[position])[1]


def _time(data: bytes, position: int) -> float:
    tag = data[position]
    text = _content(data, position, tag)[0].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _CENTURY_TURNS_AT else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC).timestamp()
