"""What gpg says of secret keys, and what is wrong with one that is to sign. Pure: gpg's output in, a sentence out.

Source: GnuPG 2.2, doc/DETAILS: the colon listings (fields 2, 5, 6, 7, 10, 12, 15) and the status lines `IMPORT_RES` and
`FAILURE`; libgpg-error, err-codes.h.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence

import msgspec

# error codes of gpg, without the source in their upper bits
_NO_PASSPHRASE = frozenset({177, 99})  # none was given; the prompt for it was canceled
_BAD_PASSPHRASE = 11
_LONG_PASSPHRASE = 273  # more than gpg-agent takes, 255 bytes
_CODE_BITS = 0xFFFF
_USES = {"c": "certifying keys", "e": "encryption", "a": "authentication"}


class KeyPart(msgspec.Struct, frozen=True, kw_only=True):
    """A primary key or a subkey."""

    validity: str
    """gpg's letter; empty while it has not computed it."""
    created_at: int
    """Seconds since 1970, as all times here."""
    expires_at: int | None
    """None: never."""
    uses: str
    """Letters: c certify, s sign, e encrypt, a authenticate."""
    has_secret: bool
    """Its secret part is here, neither left out nor on a smart card."""

    def fault(self, now: float) -> str:
        """Return why it can't be used now, to follow its name in a sentence; empty if it can."""
        if self.validity == "r":
            return "is revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return f"expired on {_day(self.expires_at)}"
        if self.created_at > now:
            return f"is valid from {_day(self.created_at)} only; is the clock of this machine right?"
        return "" if self.has_secret else "has no secret part in the file: it was left out, or is on a smart card"


class SecretKey(msgspec.Struct, frozen=True, kw_only=True):
    """A secret key with its subkeys."""

    fingerprint: str
    user: str
    primary: KeyPart
    subkeys: list[KeyPart]

    @property
    def title(self) -> str:
        """Fingerprint and user, as people know it."""
        return f"{self.fingerprint} ({self.user})" if self.user else self.fingerprint

    @property
    def expires_at(self) -> int | None:
        """When it can sign no more, by its own date; None: never."""
        signing = [part.expires_at for part in (self.primary, *self.subkeys) if "s" in part.uses and part.has_secret]
        last = None if None in signing else max((each for each in signing if each), default=None)
        return min((each for each in (self.primary.expires_at, last) if each), default=None)


def parse(listing: str) -> list[SecretKey]:
    """Return the secret keys in a colon listing."""
    found: list[tuple[dict[str, str], KeyPart, list[KeyPart]]] = []
    for line in listing.splitlines():
        kind, *fields = line.split(":")
        if kind == "sec":
            found.append(({}, _part(fields), []))
        elif found and kind == "ssb":
            found[-1][2].append(_part(fields))
        elif found and kind in {"fpr", "uid"} and len(fields) > 8:
            found[-1][0].setdefault(kind, fields[8])
    return [
        SecretKey(fingerprint=names.get("fpr", ""), user=names.get("uid", ""), primary=primary, subkeys=subkeys)
        for names, primary, subkeys in found
    ]


def _part(fields: Sequence[str]) -> KeyPart:
    padded = [*fields, *[""] * 15]
    return KeyPart(
        validity=padded[0],
        created_at=_seconds(padded[4]) or 0,
        expires_at=_seconds(padded[5]),
        # capital letters tell of the whole key
        uses="".join(letter for letter in padded[10] if letter.islower()),
        has_secret=padded[13] in {"", "+"},
    )


def _seconds(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def signing_fault(keys: Sequence[SecretKey], *, now: float) -> str:
    """Return why the keys of one file can't sign; empty if there is exactly one, and one of its parts can."""
    if len(keys) != 1:
        titles = ", ".join(key.title for key in keys)
        return (
            f"it holds {len(keys)} secret keys: {titles}; give a file with one, "
            "as gpg --armor --export-secret-keys FINGERPRINT writes it"
        )
    (key,) = keys
    signing = [part for part in (key.primary, *key.subkeys) if "s" in part.uses]
    # without its own secret part a primary key still vouches for a subkey that signs
    primary = msgspec.structs.replace(key.primary, has_secret=True).fault(now)
    if primary:
        return f"the key {key.title} {primary}"
    faults = [part.fault(now) for part in signing]
    if not all(faults):
        return ""
    if not faults:
        uses = " and ".join(_USES[letter] for letter in "cea" if any(letter in p.uses for p in (key.primary, *key.subkeys)))
        return f"the key {key.title} can't sign: it is for {uses}"
    part = "" if signing[-1] is key.primary else "the signing subkey of "
    return f"{part}the key {key.title} {faults[-1]}"


def absence_fault(text: bytes, shown: Sequence[SecretKey], status: Mapping[str, str], *, reason: str, now: float) -> str:
    """Return why gpg imported no secret key from a text.

    `shown` is what it holds by `gpg --show-keys`, `status` what gpg reported of the import, `reason` its last line.
    """
    for key in shown:
        if key.primary.created_at > now:
            return f"the key {key.title} {key.primary.fault(now)}"
    counts = [int(each) for each in status.get("IMPORT_RES", "").split() if each.isdecimal()]
    count, no_user, secret = (counts[0], counts[1], counts[9]) if len(counts) > 9 else (0, 0, 0)
    if no_user:
        return "the key in it is damaged or cut off"
    if secret:
        return f"gpg can't import its secret key: {reason}"
    if count:
        return "it holds a public key only; gpg --armor --export-secret-keys FINGERPRINT writes the secret one"
    found = re.match(rb"\s*-----BEGIN ([A-Z0-9 ]{1,40})-----", text)
    if found and found[1].startswith(b"PGP "):
        return f"the key in it is damaged or cut off, or has lost its line ends: {reason}"
    if found:
        return f"it holds a '{found[1].decode()}' block, which is not a key of GnuPG"
    return "gpg finds no key in it"


def passphrase_fault(status: Mapping[str, str], *, given: str) -> str:
    """Return what is wrong with the passphrase of a signature that failed; empty if it is not that.

    `given` is the option that gave it; empty if none did.
    """
    code = status.get("FAILURE", "").rpartition(" ")[2]
    number = int(code) & _CODE_BITS if code.isdecimal() else 0
    if number == _LONG_PASSPHRASE and given:
        return f"{given} is not its passphrase: its first line is longer than the 255 bytes that gpg takes"
    if number == _BAD_PASSPHRASE and given:
        return f"{given} is not its passphrase"
    if number in {_BAD_PASSPHRASE, *_NO_PASSPHRASE}:
        return (
            f"{given} has an empty line first" if given else "the key has a passphrase; give --signing-passphrase-file FILE"
        )
    return ""


def _day(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
