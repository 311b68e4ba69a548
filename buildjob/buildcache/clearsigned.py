"""What stands in a clearsigned text, where gpg and Spack read the same in it; any other text is rejected.

Spack lets gpg check a text, and then takes the JSON out of it by a pattern of its own. A text that these two read in
different ways may have a good signature and yet say what was never signed. Pure: no signature is checked here.
Source: Spack 1.1, url_buildcache.py (`verify_and_extract_manifest`), spec.py (`extract_json_from_clearsig`); RFC 9580, 7.
"""

import json
import re
from typing import Any

from buildjob.errors import PublishError

_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----"
_LONGEST_LINE = 19_995
"""gpg drops the rest of a longer line, and checks the signature without it (GnuPG, armor.c)."""
# One header "Hash", as gpg writes it and as Spack needs it: with none, or with two names in it, Spack finds no JSON.
_BLOCK = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\r?\nHash:[ \t]+[^\s,]+[ \t]*\r?\n[ \t]*\r?\n"
    rb"(?P<body>.*)\n"
    rb"-----BEGIN PGP SIGNATURE-----[ \t]*\r?\n.*?-----END PGP SIGNATURE-----(?P<rest>.*)",
    re.DOTALL,
)
_BEGINNINGS = re.compile(rb"^-----BEGIN PGP ", re.MULTILINE)


def is_signed(text: bytes) -> bool:
    """Return whether a text is to be read as a clearsigned one: Spack looks at its first characters only."""
    return text.startswith(_HEAD)


def body_of(text: bytes) -> bytes:
    """Return what stands between the head and the signature.

    Raises PublishError with the reason if it could be read in another way, or if anything stands before or behind the block.
    Stricter than Spack in one point: it ignores what follows the signature, which is unsigned.
    """
    if not is_signed(text):
        raise PublishError("text stands before the signed block" if _HEAD in text else "not signed")
    if len(_BEGINNINGS.findall(text)) > 2:
        raise PublishError("there is more than one signed block")
    found = _BLOCK.fullmatch(text)
    if found is None:
        raise PublishError("not a signed block as gpg writes it: a head with one hash, the text, the signature")
    if found["rest"].strip():
        raise PublishError("text stands behind the signed block")
    body = found["body"]
    for line in body.split(b"\n"):
        if line.startswith(b"-"):
            raise PublishError(
                "a line of it begins with a dash: Spack takes the one that protects it for a part of the text"
            )
        if len(line) > _LONGEST_LINE:
            raise PublishError(f"a line of it is longer than {_LONGEST_LINE} bytes, of which gpg checks only the beginning")
    return body


def json_of(text: bytes) -> Any:
    """Return the value of a JSON text as Spack reads it: of two equal keys the last one counts, 3.0 is the integer 3.

    Raises PublishError with the reason.
    """
    try:
        return json.loads(text.decode("utf-8"), parse_float=_number)
    except ValueError as error:
        raise PublishError(f"not JSON: {error}"[:200]) from error
    except RecursionError as error:
        raise PublishError("not JSON: nested too deeply") from error


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value
