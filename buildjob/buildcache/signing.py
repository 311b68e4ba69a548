"""Signs and verifies in throw-away GnuPG homes, on memory-backed storage if there is one.

Knows keys and clearsigned texts, not what they are for. A home lives as long as its `with` block; its gpg-agent ends with
it.
"""

import base64
import binascii
import codecs
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildjob.buildcache import clearsigned
from buildjob.buildcache.gpg import secret_keys, status
from buildjob.buildcache.gpg.key_source import KeySource
from buildjob.buildcache.workers import in_processes
from buildjob.errors import PublishError, RequestError

if TYPE_CHECKING:
    import gnupg

_MEMORY_BACKED = Path("/dev/shm")  # noqa: S108  the point is that it is memory
_LONGEST_LINE = 19_995
"""gpg silently cuts longer lines of a clearsigned text (spack, url_buildcache.py)."""
_ROOM_BYTES = 1 << 20
_LONGEST_FOLDER = 70
"""Bytes; below it lie `gpg-XXXXXXXX/` and the socket's name, in a path of at most 108."""
_TEST_TEXT = b"{}\n"


@contextlib.contextmanager
def throw_away_home(*, is_watched: bool = True) -> Iterator[Path]:
    """Give an empty GnuPG home, mode 0700; afterwards stop its agent and delete it.

    With `is_watched` that happens also when this process is killed: a home that may hold a secret key must not stay. The
    path is short: the agent's socket lies in it, and the path of a socket has at most 108 bytes. Raises RequestError if gpg
    is not installed, or no folder has room for a home.
    """
    if shutil.which("gpg") is None:
        raise RequestError("gpg is not on PATH: signatures need GnuPG; on Debian: apt-get install gnupg")
    home = _new_home((_MEMORY_BACKED, Path(tempfile.gettempdir()), Path("/tmp")))  # noqa: S108  the last one has a short path
    try:
        with _watched(home) if is_watched else contextlib.nullcontext():
            yield home
    finally:
        if home.exists():
            # gpg starts its other daemons only for keyservers and smart cards
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False, capture_output=True)
            shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _watched(home: Path) -> Iterator[None]:
    """Have a home's agent stopped and the home deleted when the block or this process ends.

    A shell waits for that, in a session of its own: what is sent to the process group does not end it.
    """
    script = 'trap "" HUP INT TERM; read -r _; "$1" --homedir "$0" --kill gpg-agent; rm -rf "$0"'
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        ["/bin/sh", "-c", script, str(home), shutil.which("gpgconf") or "gpgconf"],
        stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True, env={},
    ) as watch:  # fmt: skip
        try:
            yield
        finally:
            # a line, as the end of the pipe may be held open by processes that were forked meanwhile
            watch.communicate(b"\n")


def _new_home(folders: Sequence[Path]) -> Path:
    """Make a home in the first of the folders that can hold one. Raises RequestError, with the reason for each."""
    reasons = []
    for folder in dict.fromkeys(folders):
        try:
            room = os.statvfs(folder)
            if room.f_bavail * room.f_frsize < _ROOM_BYTES:
                reasons.append(f"{folder}: it is full")
            elif len(os.fsencode(folder)) > _LONGEST_FOLDER:
                reasons.append(f"{folder}: its path is too long for a socket below it")
            else:
                return Path(tempfile.mkdtemp(prefix="gpg-", dir=folder))
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
    raise RequestError(f"no folder can hold a GnuPG home; set TMPDIR to one that can. {'; '.join(reasons)}")


def _gpg(home: Path, *options: str) -> "gnupg.GPG":
    import gnupg  # noqa: PLC0415  only builds that sign or check need it

    return gnupg.GPG(gnupghome=str(home), options=list(options))


class Signer:
    """One secret key, imported into a throw-away home, ready to sign: a test signature has shown that."""

    def __init__(
        self, home: Path, key: Path | bytes, passphrase: Path | bytes | None, *, title: str = "", passphrase_title: str = ""
    ) -> None:
        """Import the key and sign a test text with it.

        Key and passphrase are files, or their content; messages call them by their titles. Raises RequestError, naming the
        key and what to do, if it is not exactly one secret key that can sign.
        """
        self._home = home
        self.title = title or (f"signing key {key}" if isinstance(key, Path) else "the signing key")
        self._passphrase_title = (passphrase_title or "what was given") if passphrase is not None else ""
        self._passphrase = _first_line(passphrase) if passphrase is not None else b""
        text = key_text(key) if isinstance(key, Path) else plain_key(key)
        imported = _run_gpg(home, "--import", text=text)
        keys = secret_keys.parse(_stdout(home, "--list-secret-keys", text=b""))
        if not keys:
            shown = secret_keys.parse(_stdout(home, "--show-keys", text=text))
            raise RequestError(f"{self.title}: {_why_none(text, shown, imported)}")
        if fault := secret_keys.signing_fault(keys, now=time.time()):
            raise RequestError(f"{self.title}: {fault}")
        self.fingerprint: str = keys[0].fingerprint
        self.expires_at = keys[0].expires_at
        try:
            self.clearsign(_TEST_TEXT, where=self.title)
        except PublishError as error:
            raise RequestError(str(error)) from error

    def public_key(self) -> bytes:
        """Return the public half, armored."""
        return _run_gpg(self._home, "--armor", "--export", self.fingerprint).stdout

    def clearsign(self, text: bytes, *, where: str) -> bytes:
        """Return the text, clearsigned. Raises PublishError, naming `where`; RequestError if the passphrase is wrong."""
        if any(len(line) > _LONGEST_LINE for line in text.split(b"\n")):
            raise PublishError(f"{where}: a line is longer than {_LONGEST_LINE} bytes, which gpg would cut")
        # Not by python-gnupg: its three threads for each text are a third of a signature's cost. Without the loopback gpg
        # would ask on a terminal or a desktop, if there is one.
        how = ("--pinentry-mode", "loopback", "--passphrase-fd", "0", "--local-user", self.fingerprint)
        signed = _run_gpg(self._home, *how, "--clearsign", text=self._passphrase + b"\n" + text)
        output = signed.stderr.decode("utf-8", "replace")
        said = status.by_keyword(output)
        if signed.returncode == 0 and signed.stdout and "SIG_CREATED" in said:
            return signed.stdout
        if fault := secret_keys.passphrase_fault(said, given=self._passphrase_title):
            raise RequestError(f"{self.title}: {fault}")
        raise PublishError(f"{where}: gpg did not sign: {status.reason(output)}")

    def is_changed(self, signed: bytes) -> bool:
        """Return whether a text has a signature of this key, and is another one than was signed.

        False for signatures of other keys, which cannot be checked here: others may trust them.
        """
        checked = _run_gpg(self._home, "--no-auto-check-trustdb", "--verify", text=signed)
        return "BADSIG" in status.by_keyword(checked.stderr.decode("utf-8", "replace"))


def _run_gpg(home: Path, *arguments: str, text: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run gpg, which never asks anybody; its status lines come with its messages."""
    command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--status-fd", "2", *arguments]
    return subprocess.run(command, input=text, capture_output=True, check=False)


def _stdout(home: Path, *arguments: str, text: bytes) -> str:
    return _run_gpg(home, "--with-colons", *arguments, text=text).stdout.decode("utf-8", "replace")


def _why_none(text: bytes, shown: Sequence[secret_keys.SecretKey], imported: "subprocess.CompletedProcess[bytes]") -> str:
    output = imported.stderr.decode("utf-8", "replace")
    return secret_keys.absence_fault(text, shown, status.by_keyword(output), reason=status.reason(output), now=time.time())


def _first_line(passphrase: Path | bytes) -> bytes:
    """Return a passphrase as gpg takes it: the first line. Raises RequestError if the file can't be read."""
    try:
        text = passphrase.read_bytes() if isinstance(passphrase, Path) else passphrase
    except OSError as error:
        raise RequestError(f"passphrase file {passphrase!s}: {error.strerror}") from error
    return text.partition(b"\n")[0].rstrip(b"\r")


@contextlib.contextmanager
def signer(key: KeySource, passphrase: KeySource | None) -> Iterator[Signer]:
    """Give the signer of a key, in a throw-away home. Raises RequestError if it can't sign."""
    with throw_away_home() as home:
        yield Signer(
            home, key.content, passphrase.content if passphrase else None,
            title=key.title, passphrase_title=passphrase.title if passphrase else "",
        )  # fmt: skip


def check(key: KeySource, passphrase: KeySource | None) -> int | None:
    """Sign a test text with a key; return when the key expires, in seconds since 1970, None for never.

    That happens in a process of its own, which ends before this returns, and its home with it: a key file leaves nothing
    in this process's memory. Raises RequestError if the key can't sign.
    """

    def work(_task: str) -> int:
        with signer(key, passphrase) as made:
            return made.expires_at or 0

    (answer,) = (expires_at for _, expires_at in in_processes(["check"], lambda: work, processes=1, threads=1))
    return answer or None


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
    """Return a key as gpg reads it: base64 of an armored text becomes that text, a mark of UTF-8 before it is dropped."""
    text = text.removeprefix(codecs.BOM_UTF8)
    if text.lstrip().startswith(b"-----BEGIN"):
        return text
    with contextlib.suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(b"".join(text.split()), validate=True)
        if decoded.lstrip().startswith(b"-----BEGIN"):
            return decoded
    return text


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
        done = _run_gpg(self.home, "--no-auto-check-trustdb", "--output", "-", "--verify", text=clearsigned_text)
        if fault := status.signature_fault(done.stderr.decode("utf-8", "replace"), exit_code=done.returncode):
            raise PublishError(fault)
        # gpg has dropped blanks at the ends of lines, and whatever it does not check
        if done.stdout.split() != body.split():
            raise PublishError("gpg has checked another text than the one that Spack takes out of it")
        return done.stdout


class KeyRing:
    """A home that splits texts with several keys."""

    def __init__(self, home: Path) -> None:
        self._home, self._gpg = home, _gpg(home)

    def split(self, text: bytes) -> dict[str, bytes]:
        """Return the public keys in a text: fingerprint -> that key alone, armored. Raises RequestError for a secret key."""
        found = self._gpg.import_keys(plain_key(text)).fingerprints
        _reject_secret_keys(self._home, "the file of public keys")
        return {each: str(self._gpg.export_keys(each)).encode() for each in dict.fromkeys(found) if each}


def has_public_key(home: Path) -> bool:
    """Return whether a GnuPG home has any key."""
    return bool(shutil.which("gpg")) and "\npub:" in "\n" + _stdout(home, "--list-keys", text=b"")


def only_secret_key(home: Path) -> bytes:
    """Return the secret key of a GnuPG home, armored; empty if it has none or several, or if gpg gives none away.

    One with a passphrase is not given away, since it can be asked of no one.
    """
    if not shutil.which("gpg") or not (home / "private-keys-v1.d").is_dir():
        return b""
    if len(secret_keys.parse(_stdout(home, "--list-secret-keys", text=b""))) != 1:
        return b""
    return _run_gpg(home, "--pinentry-mode", "error", "--armor", "--export-secret-keys").stdout


def public_keys(source: Path | bytes, *, title: str = "", secret_allowed: bool = True) -> bytes:
    """Return the public keys, armored, of a key file, of its content or of a GnuPG home; empty if a home has none.

    Without `secret_allowed`, a file with a secret key is rejected.

    gpg reads a key file in a home of its own, never this process: it may hold a secret key, which must not stay in memory
    that package code could read later. Raises RequestError if gpg finds no key in the file.
    """
    if isinstance(source, Path) and source.is_dir():
        return _export(source)
    with throw_away_home() as home:
        if isinstance(source, bytes):
            imported = _run_gpg(home, "--import", text=plain_key(source))
        else:
            imported = _import_file(home, source)
        found = _export(home)
        if not found:
            reason = status.reason(imported.stderr.decode("utf-8", "replace"))
            raise RequestError(f"{title or source!s}: gpg finds no key in it: {reason}")
        if not secret_allowed:
            _reject_secret_keys(home, title or str(source))
        return found


def _reject_secret_keys(home: Path, title: str) -> None:
    if secret_keys.parse(_stdout(home, "--list-secret-keys", text=b"")):
        raise RequestError(
            f"{title}: there is a secret key in it, where public keys are enough: "
            "give what 'gpg --armor --export' writes, and keep the secret key where only signing reads it"
        )


def _import_file(home: Path, file: Path) -> "subprocess.CompletedProcess[bytes]":
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--import"]
    imported = subprocess.run([*gpg, str(file)], check=False, capture_output=True)
    if imported.returncode == 0:
        return imported
    # perhaps base64 of the armored text, as Spack's CI keeps it
    with subprocess.Popen(["base64", "-d", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as decoded:
        return subprocess.run(gpg, stdin=decoded.stdout, check=False, capture_output=True)


def _export(home: Path) -> bytes:
    return subprocess.run(
        ["gpg", "--homedir", home, "--batch", "--armor", "--export"], check=True, capture_output=True
    ).stdout
