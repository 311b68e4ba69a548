"""Publishing to a folder: signed entries, blobs first, whatever instant a kill comes."""

import base64
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildjob import mirror
from buildjob.errors import PublishError, RequestError
from buildjob.publish import publish
from buildjob.sign import Signer, TrustHome, public_keys, throw_away_home
from tests.integration.conftest import ROOT, Key

NAME = "zlib-1.3-abcdefghijklmnopqrstuvwxyz234567"


def unsigned_entry(folder: Path, *, content: bytes = b"tarball" * 1000) -> Path:
    """A tree such as `spack buildcache push --unsigned` leaves it, with two blobs."""
    rows = []
    for data, kind in (
        (content, "application/vnd.spack.install.v2.tar+gzip"),
        (b"{}", "application/vnd.spack.spec.v5+json"),
    ):
        digest = hashlib.sha256(data).hexdigest()
        blob = folder / "blobs" / "sha256" / digest[:2] / digest
        blob.parent.mkdir(parents=True)
        blob.write_bytes(data)
        rows.append(
            {
                "contentLength": len(data),
                "mediaType": kind,
                "compression": "gzip",
                "checksumAlgorithm": "sha256",
                "checksum": digest,
            }
        )
    manifest = folder / "v3" / "manifests" / "spec" / "zlib" / f"{NAME}.spec.manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"version": 3, "data": rows}, indent=0, separators=(",", ":")))
    return folder


def as_it_is(text: bytes, _where: str) -> bytes:
    return text


def test_what_is_signed_verifies_and_what_is_changed_does_not(key: Key, tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    with throw_away_home() as home:
        signer = Signer(home, key.secret, None)
        published = publish(entry, tmp_path / "m", sign=lambda text, where: signer.clearsign(text, where=where))
    assert not home.exists()
    assert published.state == "published"
    text = mirror.find(tmp_path / "m", "zlib", "1.3", NAME.rpartition("-")[2])
    assert text
    assert text.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")
    manifest = mirror.parse_manifest(text, where="test")
    assert mirror.is_whole(tmp_path / "m", manifest)
    with throw_away_home() as home:
        trust = TrustHome(home)
        assert not trust.has_good_signature(text), "nobody is trusted yet"
        assert len(trust.trust(public_keys(key.secret))) == 1
        assert trust.has_good_signature(text)
        assert not trust.has_good_signature(text.replace(b'"version":3', b'"version":4'))
        assert (
            b"PRIVATE"
            not in subprocess.run(["gpg", "--homedir", home, "--list-secret-keys"], capture_output=True, check=True).stdout
        )


def test_a_key_with_a_passphrase_signs(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    key = Key(tmp_path_factory.mktemp("k"), passphrase="correct horse")
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    with throw_away_home() as home:
        assert b"BEGIN PGP SIGNATURE" in Signer(home, key.secret, passphrase).clearsign(b"x", where="x")
    passphrase.write_text("wrong\n")
    with throw_away_home() as home, pytest.raises(PublishError, match="gpg did not sign"):
        Signer(home, key.secret, passphrase).clearsign(b"x", where="x")


def test_a_key_in_base64_as_spacks_ci_keeps_it_signs_and_is_trusted(key: Key, tmp_path: Path) -> None:
    encoded = tmp_path / "key"
    encoded.write_bytes(base64.encodebytes(key.secret.read_bytes()))
    with throw_away_home() as home:
        signed = Signer(home, encoded, None).clearsign(b"x", where="x")
    with throw_away_home() as home:
        trust = TrustHome(home)
        trust.trust(public_keys(encoded))
        assert trust.has_good_signature(signed)
    encoded.write_text("no key at all\n")
    with pytest.raises(RequestError, match="gpg finds no key"):
        public_keys(encoded)


def test_a_file_without_a_secret_key_is_refused(key: Key) -> None:
    with throw_away_home() as home, pytest.raises(PublishError, match="0 secret keys"):
        Signer(home, key.public, None)


def test_a_damaged_blob_never_reaches_the_mirror(tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    blob = max(entry.glob("blobs/sha256/*/*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"changed" * 1000)
    with pytest.raises(PublishError, match="does not have the checksum"):
        publish(entry, tmp_path / "m", sign=as_it_is)
    assert not list(tmp_path.glob("m/v3/manifests/**/*.json"))


def test_publishing_again_sends_no_blob_twice(tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    first = publish(entry, tmp_path / "m", sign=as_it_is)
    again = publish(entry, tmp_path / "m", sign=as_it_is)
    assert again.bytes < first.bytes
    assert again.url == first.url


def test_an_unwritable_mirror_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    with pytest.raises(PublishError, match="mirror"):
        publish(unsigned_entry(tmp_path / "unsigned"), tmp_path / "m", sign=as_it_is)


KILLED = """
import os, signal, sys
from pathlib import Path
from buildjob.publish import publish
step = int(sys.argv[3])
seen = 0
def audit(event, arguments):
    global seen
    if event in {"open", "os.rename", "os.mkdir", "os.remove"} and "/m/" in str(arguments[0]):
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
publish(Path(sys.argv[1]), Path(sys.argv[2]), sign=lambda text, where: text)
"""


def test_a_kill_at_any_step_leaves_a_consistent_mirror_and_a_second_run_finishes(tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    kills = 0
    for step in range(1, 60):
        target = tmp_path / str(step) / "m"
        target.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, entry, target, str(step)], env={"PYTHONPATH": str(ROOT)}, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        kills += 1
        for path in target.glob("v3/manifests/spec/*/*.json"):
            if not path.name.startswith("."):
                assert mirror.is_whole(target, mirror.parse_manifest(path.read_bytes(), where=str(path)))
        publish(entry, target, sign=as_it_is)
        (path,) = target.glob(f"v3/manifests/spec/zlib/{NAME}*.json")
        assert mirror.is_whole(target, mirror.parse_manifest(path.read_bytes(), where=str(path)))
    assert kills >= 8, "each rename and each file that is opened was a place to die"
