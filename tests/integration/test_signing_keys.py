"""Keys that cannot sign are found before anything is built, by a real signature with the code that signs later."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildjob.buildcache import signing
from buildjob.buildcache.gpg.key_source import find_source
from buildjob.errors import RequestError
from buildjob.process import child
from tests.labs.checkout import ROOT
from tests.labs.spack.keys import Key
from tests.labs.waiting import wait_until


class Home:
    """A GnuPG home in which a test makes the keys that it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)

    def gpg(self, *arguments: str, passphrase: str = "", text: bytes = b"") -> bytes:
        command = [
            "gpg",
            "--homedir",
            str(self.folder),
            "--batch",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
        ]
        return subprocess.run([*command, *arguments], input=text, check=True, capture_output=True).stdout

    def make(self, uses: str, *options: str, expires: str = "never", passphrase: str = "") -> str:
        arguments = (*options, "--quick-gen-key", "t <t@localhost>", "ed25519", uses, expires)
        self.gpg(*arguments, passphrase=passphrase)
        return self.gpg("--with-colons", "--list-keys").decode().partition("\nfpr")[2].split(":")[9]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("k") / "h")
    yield made
    subprocess.run(["gpgconf", "--homedir", made.folder, "--kill", "all"], check=True)


def check(key: Path, passphrase: Path | None = None) -> int | None:
    given = find_source(str(passphrase), "--signing-passphrase-file") if passphrase else None
    return signing.check(find_source(str(key), "--signing-key-file"), given)


def rejection(key: Path, passphrase: Path | None = None) -> str:
    with pytest.raises(RequestError) as rejected:
        check(key, passphrase)
    assert str(key) in str(rejected.value)
    return str(rejected.value)


def test_an_expired_key_is_named_with_the_day(home: Home, tmp_path: Path) -> None:
    home.make("sign", "--faked-system-time", "20200101T000000!", expires="seconds=60")
    (tmp_path / "key").write_bytes(home.gpg("--export-secret-keys"))
    assert "expired on 2020-01-01 00:01 UTC" in rejection(tmp_path / "key")


def test_a_key_from_the_future_asks_for_a_look_at_the_clock(home: Home, tmp_path: Path) -> None:
    home.make("sign", "--faked-system-time", "20450101T000000!")
    (tmp_path / "key").write_bytes(home.gpg("--faked-system-time", "20450102T000000!", "--export-secret-keys"))
    assert "is valid from 2045-01-01 00:00 UTC only; is the clock of this machine right?" in rejection(tmp_path / "key")


def test_a_passphrase_that_is_missing_is_asked_for_and_only_its_first_line_counts(home: Home, tmp_path: Path) -> None:
    (home.folder / "gpg-agent.conf").write_text("s2k-count 65536\n")  # otherwise gpg works for a second at each change
    home.make("sign", passphrase="correct horse")
    key, phrase = tmp_path / "key", tmp_path / "phrase"
    key.write_bytes(home.gpg("--export-secret-keys", passphrase="correct horse"))
    assert "the key has a passphrase; give --signing-passphrase-file FILE" in rejection(key)
    phrase.write_text("correct horse\r\na second line\n")
    assert check(key, phrase) is None
    phrase.write_text("x" * 256)
    assert f"{phrase} is not its passphrase: its first line is longer" in rejection(key, phrase)


def test_a_key_that_was_revoked_or_only_certifies_or_left_its_secret_at_home_is_rejected(home: Home, tmp_path: Path) -> None:
    key = tmp_path / "key"
    fingerprint = home.make("cert")
    key.write_bytes(home.gpg("--export-secret-keys"))
    assert "can't sign: it is for certifying keys" in rejection(key)
    home.gpg("--quick-add-key", fingerprint, "ed25519", "sign", "never")
    key.write_bytes(home.gpg("--export-secret-subkeys"))
    assert check(key) is None, "a subkey signs without the secret primary key"
    (certificate,) = (home.folder / "openpgp-revocs.d").iterdir()
    home.gpg("--import", text=certificate.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
    key.write_bytes(home.gpg("--export-secret-keys"))
    assert "is revoked" in rejection(key)


def test_what_is_no_secret_key_is_said_as_such(key: Key, tmp_path: Path) -> None:
    assert "it holds a public key only" in rejection(key.public)
    (tmp_path / "cut").write_bytes(key.secret.read_bytes()[:200])
    assert "damaged or cut off" in rejection(tmp_path / "cut")
    (tmp_path / "one line").write_bytes(key.secret.read_bytes().replace(b"\n", b" "))
    assert rejection(tmp_path / "one line").endswith("or has lost its line ends: no valid OpenPGP data found.")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + key.secret.read_bytes())
    assert check(tmp_path / "marked") is None
    (tmp_path / "noise").write_bytes(bytes(range(1, 120)))
    assert "gpg finds no key in it" in rejection(tmp_path / "noise")
    (tmp_path / "pem").write_text("-----BEGIN RSA PRIVATE KEY-----\nMII=\n-----END RSA PRIVATE KEY-----\n")
    assert "'RSA PRIVATE KEY' block" in rejection(tmp_path / "pem")


def test_a_home_is_made_where_there_is_room_and_a_missing_gpg_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(signing, "_MEMORY_BACKED", tmp_path / "absent")
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with signing.throw_away_home() as made:
        assert made.parent == Path("/tmp")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match=r"gpg is not on PATH.*apt-get install gnupg"), signing.throw_away_home():
        pass


def test_a_process_that_is_killed_leaves_neither_the_home_of_its_key_nor_a_gpg_agent(key: Key) -> None:
    work = (
        "import sys, time; from pathlib import Path; from buildjob.buildcache import signing\n"
        "with signing.throw_away_home() as home:\n"
        "    signing.Signer(home, Path(sys.argv[1]), None); print(home, flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", work, str(key.secret)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout
        made = Path(process.stdout.readline().strip())
        assert list(made.glob("private-keys-v1.d/*.key"))
        assert agents_of(made)
        os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not made.exists() and not agents_of(made), seconds=20)


def agents_of(home: Path) -> list[Path]:
    """Return the running gpg-agents of a home."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program, *words = (each / "cmdline").read_bytes().split(b"\0")
            if program.endswith(b"gpg-agent") and str(home).encode() in words:
                found.append(each)
    return found


def agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the agent with a key, where there is no Spack to build anything with: the check of the key comes first."""
    command = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "zlib", *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=100)


def test_the_agent_rejects_a_bad_key_before_it_looks_for_anything_to_build(key: Key, tmp_path: Path) -> None:
    common = ("--mirror", tmp_path / "m", "--out", tmp_path / "out", "--spack", ROOT)
    done = agent(*common, "--signing-key-file", key.public)
    assert done.returncode == 2
    assert f"{key.public}: it holds a public key only" in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_other_processes_of_the_user_cannot_read_the_memory_of_a_secluded_one() -> None:
    """So package code finds neither a key that came from a pipe nor the credentials that the agent holds."""

    def as_nobody(work: "list[int]", secluded: bool) -> int:  # noqa: FBT001  two lines further down
        """Fork a process that waits, as a user without privileges; return its id."""
        pid = os.fork()
        if not pid:
            os.setresuid(65534, 65534, 65534)
            child._prctl(4, 1)  # noqa: SLF001  a change of the user hides a process as well
            if secluded:
                child.seclude()
            os.write(work[1], b"!")
            os.read(work[2], 1)
            os._exit(0)
        return pid

    def can_read(pid: int) -> bool:
        """Return whether another process of that user can open the memory and the environment of the first."""
        reader = os.fork()
        if not reader:
            os.setresuid(65534, 65534, 65534)
            codes = [_opens(f"/proc/{pid}/{name}") for name in ("mem", "environ")]
            os._exit(0 if all(codes) else 1 if any(codes) else 2)
        return {0: True, 2: False}[os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])]

    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    for secluded in (False, True):
        ready, release = os.pipe(), os.pipe()
        pid = as_nobody([0, ready[1], release[0]], secluded)
        os.read(ready[0], 1)
        try:
            assert can_read(pid) is not secluded
        finally:
            os.write(release[1], b"!")
            os.waitpid(pid, 0)
            for end in (*ready, *release):
                os.close(end)


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True
