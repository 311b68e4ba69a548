"""What the errors of an S3 server mean to us, by status and code, never by their text.

Pure. Source: Amazon S3 API Reference, "Error responses".
"""

from buildjob.errors import Conflict, NotFound, StoreError, Unavailable, Unsupported

# Status -> what it means to us; what is not named is final. 409 is two conditional writes at the same instant.
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
# Codes that come with a status which says less.
_BY_CODE: dict[str, type[StoreError]] = {
    "BadDigest": Unavailable,  # what arrived was not what we sent
    "IncompleteBody": Unavailable,
    "RequestTimeout": Unavailable,
    "XAmzContentChecksumMismatch": Unavailable,
    "XAmzContentSHA256Mismatch": Unavailable,
    "NoSuchBucket": StoreError,
}
_TELL: dict[str, str] = {
    "AccessDenied": "these credentials may not do that; see the policy in docs/publish.md",
    "ExpiredToken": "the credentials have expired; get new ones and run it again, it goes on where it stopped",
    "InvalidAccessKeyId": "the server does not know this access key",
    "NoSuchBucket": "make the bucket first; nothing here makes buckets",
    "PermanentRedirect": "the bucket is in another region: give --region",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes requests",
}


def classified(status: int, code: str, said: str, *, where: str) -> StoreError:
    """Return what a server's error means; `said` is its own message."""
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, StoreError)
    advice = f"; {_TELL[code]}" if code in _TELL else ""
    return kind(f"{where}: the server answers {status} {code}: {said or code or 'no reason given'}{advice}")
