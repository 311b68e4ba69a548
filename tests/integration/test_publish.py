"""Publishing to a folder: signed entries, blobs first, whatever instant a kill comes."""

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildjob.buildcache import index, layout, push_record
from buildjob.buildcache import push as pushing
from buildjob.buildcache.indexing import pending_pushes
from buildjob.buildcache.manifest import find, is_whole, parse_manifest
from buildjob.buildcache.push import publish
from buildjob.buildcache.signing import Signer, TrustHome, public_keys, throw_away_home
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.errors import PublishError, RequestError
from status_line.progress import silent
from tests.labs.build_cache import MakeStore, add_entry, as_it_is, consistent, dag_hash, expected, installs
from tests.labs.checkout import ROOT
from tests.labs.spack.keys import Key

NAME = f"zlib-1.0-{dag_hash('zlib')}"


def unsigned_entry(folder: Path) -> Path:
    add_entry(folder, "zlib", ["gmake"])
    return folder


def test_what_is_signed_verifies_and_what_is_changed_does_not(key: Key, tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    with throw_away_home() as home:
        signer = Signer(home, key.secret, None)
        published = publish(entry, FolderStore(tmp_path / "m"), sign=lambda text, where: signer.clearsign(text, where=where))
    assert not home.exists()
    assert published.state == "published"
    text = find(tmp_path / "m", "zlib", "1.0", NAME.rpartition("-")[2])
    assert text
    assert text.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")
    manifest = parse_manifest(text, where="test")
    assert is_whole(tmp_path / "m", manifest)
    with throw_away_home() as home:
        trust = TrustHome(home)
        with pytest.raises(PublishError, match="untrusted key"):
            trust.signed_text(text)
        assert len(trust.trust(public_keys(key.secret))) == 1
        assert json.loads(trust.signed_text(text))["version"] == 3
        with pytest.raises(PublishError, match="bad signature"):
            trust.signed_text(text.replace(b'"version":3', b'"version":4'))
        assert (
            b"PRIVATE"
            not in subprocess.run(["gpg", "--homedir", home, "--list-secret-keys"], capture_output=True, check=True).stdout
        )


def test_a_key_with_a_passphrase_signs(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    key = Key(tmp_path_factory.mktemp("k"), passphrase="correct horse", kind="rsa2048")
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    with throw_away_home() as home:
        assert b"BEGIN PGP SIGNATURE" in Signer(home, key.secret, passphrase).clearsign(b"x", where="x")
    passphrase.write_text("wrong\n")
    with throw_away_home() as home, pytest.raises(RequestError, match=r"secret.asc: what was given is not its passphrase"):
        Signer(home, key.secret, passphrase)


def test_a_key_in_base64_as_spacks_ci_keeps_it_signs_and_is_trusted(key: Key, tmp_path: Path) -> None:
    encoded = tmp_path / "key"
    encoded.write_bytes(base64.encodebytes(key.secret.read_bytes()))
    with throw_away_home() as home:
        signed = Signer(home, encoded, None).clearsign(b"x", where="x")
    with throw_away_home() as home:
        trust = TrustHome(home)
        trust.trust(public_keys(encoded))
        assert trust.signed_text(signed) == b"x\n"
    encoded.write_text("no key at all\n")
    with pytest.raises(RequestError, match="gpg finds no key"):
        public_keys(encoded)


def test_a_file_without_a_secret_key_is_refused(key: Key) -> None:
    with throw_away_home() as home, pytest.raises(RequestError, match="it holds a public key only"):
        Signer(home, key.public, None)


def test_a_damaged_blob_is_never_published(tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    blob = max(entry.glob("blobs/sha256/*/*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"changed" * 1000)
    with pytest.raises(PublishError, match="does not have the checksum"):
        publish(entry, FolderStore(tmp_path / "m"), sign=as_it_is)
    assert not list(tmp_path.glob("m/v3/manifests/**/*.json"))


def test_publishing_again_uploads_no_blob_twice(tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    first = publish(entry, FolderStore(tmp_path / "m"), sign=as_it_is)
    again = publish(entry, FolderStore(tmp_path / "m"), sign=as_it_is)
    assert again.bytes < first.bytes
    assert again.url == first.url


def test_an_unwritable_build_cache_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    with pytest.raises(PublishError, match="Not a directory"):
        publish(unsigned_entry(tmp_path / "unsigned"), FolderStore(tmp_path / "m"), sign=as_it_is)


def test_an_entry_whose_spec_is_another_one_is_refused(tmp_path: Path) -> None:
    key = add_entry(tmp_path / "unsigned", "zlib")
    other = key.replace(dag_hash("zlib"), dag_hash("other"))
    (tmp_path / "unsigned" / key).rename(tmp_path / "unsigned" / other)
    with pytest.raises(PublishError, match="its spec has another hash"):
        publish(tmp_path / "unsigned", FolderStore(tmp_path / "m"), sign=as_it_is)
    assert not (tmp_path / "m").exists()


# what a package needs must be the same wherever it stands: what others depend on needs glibc alone (`nodes_of`)
TREES: dict[str, list[str]] = {"app": ["lib", "gmake"], "lib": [], "tool": []}


def test_a_push_uploads_what_is_missing_and_indexes_it(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    for name, needed in TREES.items():
        add_entry(tmp_path / name, name, needed)
        add_entry(tmp_path / "all", name, needed)
    publish(tmp_path / "lib", store, sign=as_it_is)
    assert installs(store) == expected({"lib": TREES["lib"]})
    planned = pushing.plan(tmp_path / "all", store, replace=False)
    assert [entry.dag_hash for entry in planned.binaries] == [dag_hash("app"), dag_hash("tool")]
    progress = silent()
    options = pushing.PushOptions(progress=progress)
    pushed = pushing.push(planned, store, sign=as_it_is, options=options)
    assert pushed.index
    assert pushed.index.replaced
    assert (progress.done, progress.total, progress.bytes) == (2, 2, pushed.bytes)
    assert consistent(store) == 3
    assert installs(store) == expected(TREES)
    assert not list(push_record.pending(store))
    nothing = pushing.plan(tmp_path / "all", store, replace=False)
    assert nothing.binaries == []
    assert pushing.push(nothing, store, sign=as_it_is, options=options).index == index.Updated()


def test_a_push_writes_no_keys(make_store: MakeStore, key: Key, tmp_path: Path) -> None:
    store = make_store()
    with throw_away_home() as home:
        signer = Signer(home, key.secret, None)
        publish(unsigned_entry(tmp_path / "unsigned"), store, sign=lambda text, where: signer.clearsign(text, where=where))
    assert not list(store.list(layout.KEYS))
    for seen in store.list(""):
        assert b"BEGIN PGP P" not in store.read(seen.key).data


KILLED = """
import os, signal, sys
from pathlib import Path
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.push import publish
step = int(sys.argv[3])
seen = 0
def audit(event, arguments):
    global seen
    if event in {"os.link", "os.rename", "os.remove"} and "/m/" in str(arguments[1 if event == "os.link" else 0]):
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
publish(Path(sys.argv[1]), FolderStore(Path(sys.argv[2])), sign=lambda text, where: text)
"""


def test_a_kill_at_any_step_leaves_a_consistent_build_cache_and_a_second_run_finishes(tmp_path: Path) -> None:
    entry = unsigned_entry(tmp_path / "unsigned")
    kills = 0
    step = 0
    while True:
        step += 1
        target = tmp_path / str(step) / "m"
        target.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, entry, target, str(step)], env={"PYTHONPATH": str(ROOT)}, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        kills += 1
        store = FolderStore(target)
        there = consistent(store)
        assert set(installs(store)) <= set(expected({"zlib": ["gmake"]}))
        if there:  # whoever comes next finds the announcement of what is there
            index.update(store, pending_pushes.Known(), index.IndexOptions())
            assert installs(store) == expected({"zlib": ["gmake"]})
        publish(entry, store, sign=as_it_is)
        assert consistent(store) == 1
        assert installs(store) == expected({"zlib": ["gmake"]})
        assert not [seen for seen in push_record.pending(store) if store.stat(layout.INDEX) is None]
    assert kills >= 8, "each rename and each deletion was a place to die"
