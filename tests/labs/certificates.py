"""The certificates of tests/data/certificates as text, and in the form in which a kubeconfig holds them."""

import base64

from tests.labs.checkout import ROOT

FOLDER = ROOT / "tests/data/certificates"
AUTHORITY, CERTIFICATE, KEY, OTHER_KEY, ENCRYPTED_KEY = (
    (FOLDER / name).read_text() for name in ("authority.crt", "user.crt", "user.key", "server.key", "encrypted.key")
)
BROKEN = AUTHORITY.replace(AUTHORITY.splitlines()[1], "AAAA")


def as_base64(text: str) -> str:
    """Return a text as the `-data` keys of a kubeconfig have it."""
    return base64.b64encode(text.encode()).decode()
