"""What gpg says of a key -> why it cannot sign: the tables."""

import pytest

from buildjob.buildcache.gpg.secret_keys import absence_fault, parse, passphrase_fault, signing_fault
from buildjob.buildcache.gpg.status import by_keyword

NOW = 1_800_000_000
PAST, FUTURE = NOW - 1000, NOW + 1000


def key(*parts: str, name: str = "F1") -> str:
    """A colon listing of one key; each part is `kind:validity:created:expires:uses:secret`."""
    lines = []
    for part in parts:
        kind, validity, created, expires, uses, secret = part.split(":")
        lines += [
            f"{kind}:{validity}:255:22:ID:{created}:{expires}::-:::{uses}:::{secret}::ed25519:::0:",
            f"fpr:::::::::{name}:",
        ]
    return "\n".join([*lines, "uid:-::::1::X::tester <t@localhost>::::::::::0:", ""])


SIGNS = f"sec:-:{PAST}::scSC:+"
# fmt: off
ONE_KEY = {
    "a good one": (key(SIGNS), ""),
    "one that expires later": (key(f"sec:-:{PAST}:{FUTURE}:sc:+"), ""),
    "a signing subkey": (key(f"sec:-:{PAST}::cC:+", f"ssb:-:{PAST}::s:+"), ""),
    "a signing subkey without the secret primary key": (key(f"sec:-:{PAST}::cC:#", f"ssb:-:{PAST}::s:+"), ""),
    "one of two signing subkeys is expired": (key(f"sec:-:{PAST}::cC:+", "ssb:e:1:2:s:+", f"ssb:-:{PAST}::s:+"), ""),
    "expired": (key(f"sec:e:1:{PAST}:sc:+"), "the key F1 (tester <t@localhost>) expired on 2027-01-15 07:43 UTC"),
    "expired, and gpg has not computed it": (key(f"sec:-:1:{PAST}:sc:+"), "expired on"),
    "revoked": (key(f"sec:r:{PAST}::sc:+"), "is revoked"),
    "from the future": (key(f"sec:i:{FUTURE}::sc:+"), "is valid from 2027-01-15 08:16 UTC only"),
    "an expired signing subkey": (key(f"sec:-:{PAST}::cC:+", "ssb:e:1:2:s:+"), "the signing subkey of the key F1"),
    "a revoked signing subkey": (key(f"sec:-:{PAST}::cC:+", f"ssb:r:{PAST}::s:+"), "is revoked"),
    "an expired primary key with a good subkey": (key("sec:e:1:2:cC:+", f"ssb:-:{PAST}::s:+"), "expired on"),
    "for certifying only": (key(f"sec:-:{PAST}::cC:+"), "can't sign: it is for certifying keys"),
    "for encryption": (key(f"sec:-:{PAST}::cC:+", f"ssb:-:{PAST}::e:+"), "it is for certifying keys and encryption"),
    "its secret part was left out": (key(f"sec:-:{PAST}::sc:#"), "has no secret part in the file"),
    "its secret part is on a smart card": (key(f"sec:-:{PAST}::sc:D2760001240102000005"), "or is on a smart card"),
    "two keys": (key(SIGNS, name="F1") + key(SIGNS, name="F2"), "it holds 2 secret keys: F1 (tester <t@localhost>), F2"),
}
# fmt: on


@pytest.mark.parametrize("case", ONE_KEY)
def test_what_is_wrong_with_a_key_that_is_to_sign(case: str) -> None:
    listing, fault = ONE_KEY[case]
    found = signing_fault(parse(listing), now=NOW)
    assert fault in found
    assert bool(found) is bool(fault)


@pytest.mark.parametrize(
    ("listing", "expires_at"),
    [
        (key(SIGNS), None),
        (key(f"sec:-:{PAST}:{FUTURE}:sc:+"), FUTURE),
        (key(f"sec:-:{PAST}::cC:+", f"ssb:-:{PAST}:{FUTURE}:s:+"), FUTURE),
        (key(f"sec:-:{PAST}:{FUTURE}:cC:+", f"ssb:-:{PAST}::s:+"), FUTURE),
        (key(f"sec:-:{PAST}::cC:+", f"ssb:-:{PAST}:{FUTURE}:s:+", f"ssb:-:{PAST}::s:+"), None),
    ],
)
def test_when_a_key_can_sign_no_more(listing: str, expires_at: int | None) -> None:
    assert parse(listing)[0].expires_at == expires_at


# fmt: off
ABSENT = {
    "a public key": (b"x", "", "1 0 1 0 0 0 0 0 0 0 0 0 0 0 0", "it holds a public key only"),
    "cut off": (b"x", "", "1 1 0 0 0 0 0 0 0 1 0 0 0 0 0", "damaged or cut off"),
    "the agent cannot take it": (b"x", "", "1 0 1 0 0 0 0 0 0 1 0 0 0 0 0", "gpg can't import its secret key: no agent"),
    "from the future": (b"x", key(f"sec:i:{FUTURE}::sc:#"), "0 1 0 0 0 0 0 0 0 1 0 0 0 0 0", "is valid from"),
    "another program's key": (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "", "0 0", "it holds a 'OPENSSH PRIVATE KEY' block"),
    "noise": (b"\0\1\2", "", "", "gpg finds no key in it"),
}
# fmt: on


@pytest.mark.parametrize("case", ABSENT)
def test_why_a_text_gave_no_secret_key(case: str) -> None:
    text, shown, counts, fault = ABSENT[case]
    assert fault in absence_fault(text, parse(shown), {"IMPORT_RES": counts}, reason="no agent", now=NOW)


@pytest.mark.parametrize(
    ("failure", "given", "fault"),
    [
        ("FAILURE sign 67108875", "--p FILE", "--p FILE is not its passphrase"),
        ("FAILURE sign 67109041", "--p FILE", "--p FILE has an empty line first"),
        ("FAILURE sign 67109137", "--p FILE", "longer than the 255 bytes that gpg takes"),
        ("FAILURE sign 67108875", "", "give --signing-passphrase-file FILE"),
        ("FAILURE sign 67109041", "", "give --signing-passphrase-file FILE"),
        ("FAILURE sign 67108963", "", "give --signing-passphrase-file FILE"),
        ("FAILURE sign 17", "--p FILE", ""),
        ("SIG_CREATED C 22 8 01 1 F", "--p FILE", ""),
    ],
)
def test_a_wrong_passphrase_is_told_apart_by_gpgs_error_code(failure: str, given: str, fault: str) -> None:
    found = passphrase_fault(by_keyword(f"gpg: words\n[GNUPG:] {failure}\n"), given=given)
    assert fault in found
    assert bool(found) is bool(fault)
