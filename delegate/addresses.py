"""What names a result: SHA-256 of the request, and of the request together with the fingerprint of all inputs.

Pure. docs/reference/delegate-protocol.md is the definition; `worker.py` computes the same and imports nothing of ours.
"""

import hashlib
import re
from collections.abc import Mapping

_KEY = re.compile(r"[0-9a-f]{64}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def begin_digest(headers: Mapping[str, str], query: str) -> "hashlib._Hash":
    """Return the digest of a request's head, to be updated with its body.

    `headers` are those that the command sees, by name in lower case. Each part is led by its length, so that no two
    requests have one digest by moving a border.
    """
    digest = hashlib.sha256(b"delegate-request-1\n")
    for part in (*(text for name in sorted(headers) for text in (name, headers[name])), query):
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(b"%d:%s," % (len(encoded), encoded))
    digest.update(b"\n")
    return digest


def result_key(request_digest: str, fingerprint: str) -> str:
    """Return the last part of a result's address: 64 hexadecimal digits."""
    return hashlib.sha256(f"{request_digest}\n{fingerprint}".encode()).hexdigest()


def is_header_name(text: str) -> bool:
    """Return whether a text can be a header's name."""
    return _HEADER_NAME.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Return whether a text can be a result's key."""
    return _KEY.fullmatch(text) is not None
