"""What gpg's status lines mean for a signature."""

import pytest

from buildjob.buildcache.gpg.status import signature_fault

GOOD = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 12AB me\n[GNUPG:] TRUST_ULTIMATE 0 pgp\n"
OTHER = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 34CD other\n[GNUPG:] TRUST_UNDEFINED 0 pgp\n"
BAD = "[GNUPG:] NEWSIG\n[GNUPG:] BADSIG 34CD other\n"


@pytest.mark.parametrize(
    ("output", "exit_code", "fault"),
    [
        (GOOD, 0, ""),
        (GOOD + GOOD, 0, ""),
        (OTHER, 0, "signed by an untrusted key"),
        (GOOD + OTHER, 0, "signed by an untrusted key"),
        (GOOD + BAD, 1, "bad signature: the text is not the one that was signed (34CD)"),
        ("[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG\n", 2, "gpg can't check the signature"),
        ("gpg: no valid data\ngpg: Total number processed: 0\n", 2, "gpg finds no good signature: no valid data"),
        (GOOD, 2, "gpg finds no good signature: no reason given"),
        ("", 0, "gpg finds no good signature: no reason given"),
        ("said GOODSIG and [GNUPG:] NEWSIG\n", 0, "gpg finds no good signature: no reason given"),
    ],
)  # fmt: skip
def test_every_signature_has_to_be_good_and_trusted(output: str, exit_code: int, fault: str) -> None:
    assert signature_fault(output, exit_code=exit_code) == fault
