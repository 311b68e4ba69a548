"""Signs and verifies in throw-away GnuPG homes, on memory-backed storage if there is one.

Knows keys and clearsigned texts, not what they are for. A home lives as long as its `with` block; its gpg-agent ends with
it.
"""

import base64
import binascii
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from buildjob.buildcache import clearsigned
from buildjob.errors import PublishError, RequestError

if TYPE_CHECKING:
    import gnupg

_MEMORY_BACKED = Path("/dev/shm")  # noqa: S108  the point is that it is memory
_LONGEST_LINE = 19_995
"""gpg silently cuts longer lines of a clearsigned text (spack, url_buildcache.py)."""


@contextlib.contextmanager
def throw_away_home() -> Iterator[Path]:
    """Give an empty GnuPG home, mode 0700; afterwards stop its agent and delete it.

    The path is short: the agent's socket lies in it, and the path of a socket has at most 108 bytes.
    """
    folder = str(_MEMORY_BACKED) if _MEMORY_BACKED.is_dir() else None
    home = Path(tempfile.mkdtemp(prefix="gpg-", dir=folder))
    try:
        yield home
    finally:
        # gpg starts its other daemons only for keyservers and smart cards
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def _gpg(home: Path, *options: str) -> "gnupg.GPG":
    import gnupg  # noqa: PLC0415  only builds that sign or check need it

    return gnupg.GPG(gnupghome=str(home), options=list(options))


class Signer:
    """One secret key, imported into a throw-away home, ready to sign."""

    def __init__(self, home: Path, key: Path | bytes, passphrase_file: Path | None) -> None:
        """Import the key, from a file or from its text. Raises PublishError unless that is exactly one secret key."""
        self._home = home
        self._gpg = _gpg(home)
        self._passphrase = passphrase_file.read_text().rstrip("\n") if passphrase_file else None
        self._gpg.import_keys(key_text(key) if isinstance(key, Path) else plain_key(key))
        keys = self._gpg.list_keys(secret=True)
        if len(keys) != 1:
            name = key if isinstance(key, Path) else "the key command's output"
            raise PublishError(f"{name}: holds {len(keys)} secret keys; a signing key file holds exactly one")
        self.fingerprint: str = keys[0]["fingerprint"]

    def public_key(self) -> bytes:
        """Return the public half, armored."""
        return str(self._gpg.export_keys(self.fingerprint)).encode()

    def clearsign(self, text: bytes, *, where: str) -> bytes:
        """Return the text, clearsigned. Raises PublishError, naming `where`."""
        if any(len(line) > _LONGEST_LINE for line in text.split(b"\n")):
            raise PublishError(f"{where}: a line is longer than {_LONGEST_LINE} bytes, which gpg would cut")
        # not by python-gnupg: its three threads for each text are a third of a signature's cost
        command = ["gpg", "--homedir", str(self._home), "--batch", "--no-tty", "--status-fd", "2"]
        if self._passphrase is not None:
            command += ["--pinentry-mode", "loopback", "--passphrase-fd", "0"]
            text = self._passphrase.encode() + b"\n" + text
        command += ["--local-user", self.fingerprint, "--clearsign"]
        done = subprocess.run(command, input=text, capture_output=True, check=False)
        output = done.stderr.decode("utf-8", "replace")
        if done.returncode or not done.stdout or "\n[GNUPG:] SIG_CREATED " not in f"\n{output}":
            raise PublishError(f"{where}: gpg did not sign: {_reason(output)}")
        return done.stdout


def key_text(path: Path) -> bytes:
    """Return the key in a file as gpg reads it: armored, binary, or base64 of the armored text, as Spack's CI keeps it.

    Raises RequestError if the file can't be read.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RequestError(f"signing key {path}: {error.strerror}; give a file that holds one secret key") from error
    return plain_key(text)


def plain_key(text: bytes) -> bytes:
    """Return a key as gpg reads it: base64 of an armored text becomes that text, anything else stays."""
    if text.lstrip().startswith(b"-----BEGIN"):
        return text
    with contextlib.suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(b"".join(text.split()), validate=True)
        if decoded.lstrip().startswith(b"-----BEGIN"):
            return decoded
    return text


def _reason(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("gpg: ")]
    return lines[-1].removeprefix("gpg: ") if lines else "no reason given"


class TrustHome:
    """A GnuPG home that Spack can use, in which the given public keys are trusted; holds no secret key."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # Verifications run at the same time. Each would rebuild a trust database that is out of date, and find a good key
        # untrusted while another rebuilds it. So only `trust` rebuilds it, and they use --no-auto-check-trustdb.
        self._gpg = _gpg(home, "--no-auto-check-trustdb")

    def trust(self, keys: bytes) -> list[str]:
        """Trust the public keys in `keys` (armored or binary); return their fingerprints."""
        found = [key for key in self._gpg.import_keys(keys).fingerprints if key]
        if found:
            self._gpg.trust_keys(found, "TRUST_ULTIMATE")
            check = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--check-trustdb"]
            subprocess.run(check, check=True, capture_output=True)
        return list(dict.fromkeys(found))

    def signed_text(self, clearsigned_text: bytes) -> bytes:
        """Return the text that trusted keys have signed, as gpg returns it. Raises PublishError with the reason.

        Rejects what Spack rejects, and where it reads another text than gpg has checked. Stricter in two points: nothing
        may stand behind the block, and the key may be neither expired nor revoked.
        """
        body = clearsigned.body_of(clearsigned_text)
        # not by python-gnupg: it starts three threads for each text, and does not return gpg's exit code
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--no-auto-check-trustdb"]
        command += ["--status-fd", "2", "--output", "-", "--verify"]
        done = subprocess.run(command, input=clearsigned_text, capture_output=True, check=False)
        if fault := signature_fault(done.stderr.decode("utf-8", "replace"), exit_code=done.returncode):
            raise PublishError(fault)
        # gpg has dropped blanks at the ends of lines, and whatever it does not check
        if done.stdout.split() != body.split():
            raise PublishError("gpg has checked another text than the one that Spack takes out of it")
        return done.stdout


# What gpg says of a signature -> the reason why it is not accepted. Source: GnuPG, doc/DETAILS.
_FAULTS = {
    "BADSIG": "bad signature: the text is not the one that was signed",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "signed by a key that has expired",
    "REVKEYSIG": "signed by a key that was revoked",
    "NO_PUBKEY": "signed by an untrusted key",
    "ERRSIG": "gpg can't check the signature",
}


def signature_fault(output: str, *, exit_code: int) -> str:
    """Return why gpg's answer, its status lines among its messages, is not that of good signatures; empty if it is."""
    lines = [line.split()[1:] for line in output.splitlines() if line.startswith("[GNUPG:] ")]
    keywords = [fields[0] for fields in lines if fields]
    for keyword, fault in _FAULTS.items():
        for fields in lines:
            if fields[:1] == [keyword]:
                signer = f" ({fields[1]})" if len(fields) > 1 else ""
                return fault + signer
    signatures = keywords.count("NEWSIG")
    trusted = keywords.count("TRUST_ULTIMATE") + keywords.count("TRUST_FULLY")
    if exit_code or not signatures or keywords.count("GOODSIG") != signatures:
        return f"gpg finds no good signature: {_reason(output)}"
    return "" if trusted == signatures else "signed by an untrusted key"


class KeyRing:
    """A home that splits texts with several keys."""

    def __init__(self, home: Path) -> None:
        self._gpg = _gpg(home)

    def split(self, text: bytes) -> dict[str, bytes]:
        """Return the public keys in a text: fingerprint -> that key alone, armored."""
        found = self._gpg.import_keys(plain_key(text)).fingerprints
        return {each: str(self._gpg.export_keys(each)).encode() for each in dict.fromkeys(found) if each}


def public_keys(source: Path) -> bytes:
    """Return the public keys, armored, of a key file or of a GnuPG home; empty if a home has none.

    gpg reads a key file in a home of its own, never this process: it may hold a secret key, which must not stay in memory
    that package code could read later. Raises RequestError if gpg finds no key in the file.
    """
    if source.is_dir():
        return _export(source)
    with throw_away_home() as home:
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--import"]
        imported = subprocess.run([*gpg, str(source)], check=False, capture_output=True)
        if imported.returncode != 0:  # perhaps base64 of the armored text, as Spack's CI keeps it
            with subprocess.Popen(
                ["base64", "-d", str(source)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as decoded:
                imported = subprocess.run(gpg, stdin=decoded.stdout, check=False, capture_output=True)
        found = _export(home)
        if not found:
            raise RequestError(f"{source}: gpg finds no key in it: {_reason(imported.stderr.decode('utf-8', 'replace'))}")
        return found


def _export(home: Path) -> bytes:
    return subprocess.run(
        ["gpg", "--homedir", home, "--batch", "--armor", "--export"], check=True, capture_output=True
    ).stdout
