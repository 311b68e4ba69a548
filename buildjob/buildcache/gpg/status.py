"""What gpg says of a call, its status lines among its messages. Pure. Source: GnuPG 2.2, doc/DETAILS."""

_START = "[GNUPG:] "
# What gpg says of a signature -> the reason why it is not accepted. Source: GnuPG, doc/DETAILS.
_FAULTS = {
    "BADSIG": "bad signature: the text is not the one that was signed",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "signed by a key that has expired",
    "REVKEYSIG": "signed by a key that was revoked",
    "NO_PUBKEY": "signed by an untrusted key",
    "ERRSIG": "gpg can't check the signature",
}


def _lines(output: str) -> list[tuple[str, str]]:
    """Return the status lines: keyword, arguments."""
    found = (line.removeprefix(_START).partition(" ") for line in output.splitlines() if line.startswith(_START))
    return [(keyword, rest) for keyword, _, rest in found]


def by_keyword(output: str) -> dict[str, str]:
    """Return the status lines: keyword -> its arguments, of the last line with that keyword."""
    return dict(_lines(output))


def reason(output: str) -> str:
    """Return the last of gpg's messages, which says most."""
    lines = [
        line
        for line in output.splitlines()
        if line.startswith("gpg: ") and not line.startswith("gpg: Total number processed")
    ]
    return lines[-1].removeprefix("gpg: ") if lines else "no reason given"


def signature_fault(output: str, *, exit_code: int) -> str:
    """Return why gpg's answer, its status lines among its messages, is not that of good signatures; empty if it is."""
    lines = _lines(output)
    keywords = [keyword for keyword, _ in lines]
    for wanted, fault in _FAULTS.items():
        for keyword, rest in lines:
            if keyword == wanted:
                signer = rest.partition(" ")[0]
                return f"{fault} ({signer})" if signer else fault
    signatures = keywords.count("NEWSIG")
    trusted = keywords.count("TRUST_ULTIMATE") + keywords.count("TRUST_FULLY")
    if exit_code or not signatures or keywords.count("GOODSIG") != signatures:
        return f"gpg finds no good signature: {reason(output)}"
    return "" if trusted == signatures else "signed by an untrusted key"
