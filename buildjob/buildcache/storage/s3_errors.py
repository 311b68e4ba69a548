"""What an S3 server's errors mean, by status and code, never by their text.

Pure. Source: Amazon S3 API Reference, "Error responses".
"""

from buildjob.errors import Conflict, NotFound, StoreError, Unavailable, Unsupported

# Status -> meaning; any other status is final. 409 is two conditional writes at the same instant.
_BY_STATUS: dict[int, type[StoreError]] = {
    404: NotFound,
    409: Unavailable,
    412: Conflict,
    429: Unavailable,
    500: Unavailable,
    501: Unsupported,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
# Codes that say more than their status.
_BY_CODE: dict[str, type[StoreError]] = {
    "BadDigest": Unavailable,  # the content arrived damaged
    "IncompleteBody": Unavailable,
    "RequestTimeout": Unavailable,
    "XAmzContentChecksumMismatch": Unavailable,
    "XAmzContentSHA256Mismatch": Unavailable,
    "NoSuchBucket": StoreError,
}
_ADVICE: dict[str, str] = {
    "AccessDenied": "these credentials do not allow it; see the policy in docs/publish.md",
    "ExpiredToken": "the credentials have expired; get new ones and run it again: it continues",
    "InvalidAccessKeyId": "the server does not know this access key",
    "NoSuchBucket": "make the bucket first; spack-farm makes no buckets",
    "PermanentRedirect": "the bucket is in another region: give --region",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes requests",
}


def classified(status: int, code: str, message: str, *, where: str) -> StoreError:
    """Return the exception for a server's error; `message` is the server's own."""
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, StoreError)
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    return kind(f"{where}: the server answers {status} {code}: {message or code or 'no reason given'}{advice}")
