"""Verify, keys, notarize, prune and ls, at the command line and on storage."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from buildjob.buildcache import index, keys, layout, notarize, prune, push, push_record, send_telemetry, signing, verify
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import Store
from buildjob.errors import PublishError
from tests.labs.build_cache import MakeStore, add_entry, as_it_is, consistent, dag_hash, expected, installs, node
from tests.labs.checkout import ROOT
from tests.labs.limits import small_disk
from tests.labs.spack.keys import Key
from tests.labs.telemetry_samples import SAMPLE, sample

# what a package needs must be the same wherever it stands: what others depend on needs glibc alone (`nodes_of`)
TREES: dict[str, list[str]] = {"app": ["lib", "gmake"], "lib": [], "tool": []}


def farm(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), "publish", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
    )  # fmt: skip


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Path]:
    """A key, and a build cache with three binaries that it has signed."""
    key, folder = Key(tmp_path_factory.mktemp("k")), tmp_path_factory.mktemp("signed")
    for name, needed in TREES.items():
        add_entry(folder / "unsigned", name, needed)
    with signing.throw_away_home() as home:
        signer = signing.Signer(home, key.secret, None)
        push.publish(
            folder / "unsigned", FolderStore(folder / "m"), sign=lambda text, where: signer.clearsign(text, where=where)
        )
    return key, folder / "m"


def copy_to(store: Store, source: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            store.write(path.relative_to(source).as_posix(), path.read_bytes())


def faults_of(store: Store, key: Key) -> list[str]:
    with signing.throw_away_home() as home:
        trust = signing.TrustHome(home)
        trust.trust(key.public.read_bytes())
        findings = verify.Findings()
        return sorted(
            f"{fault.key}: {fault.text}" for fault in verify.verify(store, trust, findings, verify.VerifyOptions())
        )


def manifest_key(name: str) -> str:
    return f"{layout.SPECS}{name}/{name}-1.0-{dag_hash(name)}{layout.MANIFEST_END}"


def test_an_intact_build_cache_has_no_faults_and_each_damage_is_one(signed: tuple[Key, Path], make_store: MakeStore) -> None:
    key, source = signed
    store = make_store()
    copy_to(store, source)
    assert faults_of(store, key) == []
    app = store.read(manifest_key("app")).data
    store.write(manifest_key("app"), app.replace(b'"version":3', b'"version": 3'))
    tarball = next(
        layout.blob(row["checksum"])
        for row in json.loads((source.parent / "unsigned" / manifest_key("lib")).read_text())["data"]
    )
    store.write(tarball, b"x" * len(store.read(tarball).data))
    store.write(manifest_key("other"), store.read(manifest_key("tool")).data)
    store.delete(manifest_key("tool"))
    found = faults_of(store, key)
    assert [text.partition(": ")[2].partition(" (")[0] for text in found] == [
        f"names {dag_hash('tool')}, which is not in the build cache",
        "bad signature: the text is not the one that was signed",
        f"{tarball} does not have the checksum in its name",
        f"its spec is another one than its key names: {dag_hash('tool')}",
    ]


def test_both_of_two_specs_in_a_manifest_are_checked(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    key = add_entry(tmp_path, "lib")
    manifest = json.loads((tmp_path / key).read_text())
    manifest["data"].append(manifest["data"][-1] | {"checksum": "0" * 64})
    (tmp_path / key).write_text(json.dumps(manifest))
    found = verify.check(store, key, None, read_blobs=True)
    assert isinstance(found, Fault)
    assert found.text == f"{layout.blob('0' * 64)} is missing"


def test_the_command_line_pushes_lists_verifies_and_shows_keys(tmp_path: Path, key: Key) -> None:
    mirror, unsigned = tmp_path / "m", tmp_path / "u"
    for name, needed in TREES.items():
        add_entry(unsigned, name, needed)
    encoded = tmp_path / "encoded"
    encoded.write_bytes(base64.encodebytes(key.secret.read_bytes()))
    planned = farm("push", unsigned, mirror, "--dry-run")
    assert planned.returncode == 0
    assert planned.stdout.count("spec.manifest.json") == 3
    assert not mirror.exists()
    pushed = farm("push", unsigned, mirror, "--signing-key-command", f"cat {encoded}")
    assert pushed.returncode == 0, pushed.stderr
    again = farm("push", unsigned, mirror, SPACK_FARM_PUBLISH_SIGNING_KEY_FILE=str(key.secret))
    assert "in the build cache already" in again.stderr
    listed = farm("ls", mirror)
    assert sorted(line.split()[-1] for line in listed.stdout.splitlines()) == ["app@1.0", "lib@1.0", "tool@1.0"]
    assert "linux-debian12-x86_64_v3" in listed.stdout
    good = farm("verify", mirror, "--trust", key.public)
    assert (good.returncode, good.stdout) == (0, ""), good.stderr
    (mirror / manifest_key("app")).write_text("{}")
    bad = farm("verify", mirror, "--trust", key.public, "--quick")
    assert bad.returncode == 1
    assert "not signed" in bad.stdout
    assert not (mirror / layout.VERIFIED).exists()
    assert farm("verify", mirror, "--trust", key.public, "--quick", "--record").returncode == 1
    report = json.loads((mirror / layout.VERIFIED).read_bytes())
    jsonschema.validate(report, json.loads((ROOT / "docs/reference/verified.schema.json").read_text()))
    assert (report["version"], report["good"]) == (1, sorted(map(dag_hash, ("lib", "tool"))))
    assert list(report["faults"]) == [dag_hash("app")]
    assert farm("verify", mirror, "--any-signer", "--record", "--only", manifest_key("lib")).returncode == 2
    assert farm("keys", mirror).stdout == ""
    added = farm("keys", mirror, "--add", key.public)
    assert added.returncode == 0, added.stderr
    assert len(added.stdout.strip()) == 40
    assert "PRIVATE" not in "".join(path.read_text(errors="replace") for path in mirror.rglob("*") if path.is_file())
    broken = farm("push", unsigned, mirror, "--replace", "--signing-key-command", "echo no key; exit 3")
    assert broken.returncode == 100
    assert "ended with 3" in broken.stderr


def test_notarize_takes_only_what_builds_have_signed(
    signed: tuple[Key, Path], make_store: MakeStore, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    builds, folder = signed
    source, target = make_store(), make_store()
    copy_to(source, folder)
    release, stranger = Key(tmp_path_factory.mktemp("k"), name="release"), Key(tmp_path_factory.mktemp("k"), name="stranger")
    add_entry(tmp_path / "u", "unsigned")
    push.publish(tmp_path / "u", source, sign=as_it_is)
    add_entry(tmp_path / "s", "strange")
    with signing.throw_away_home() as home:
        strange = signing.Signer(home, stranger.secret, None)
        push.publish(tmp_path / "s", source, sign=lambda text, where: strange.clearsign(text, where=where))
    with signing.throw_away_home() as trusted, signing.throw_away_home() as secret:
        trust = signing.TrustHome(trusted)
        trust.trust(builds.public.read_bytes())
        signer = signing.Signer(secret, release.secret, None)
        found = list(notarize.notarize(source, target, trust, signer, notarize.NotarizeOptions()))
        assert {each.key: each.text for each in found if isinstance(each, Fault)} == {
            manifest_key("unsigned"): "not signed",
            manifest_key("strange"): f"signed by an untrusted key ({strange.fingerprint[-16:]})",
        }
        assert {each.manifest_key for each in found if isinstance(each, notarize.Taken)} == {
            manifest_key(name) for name in TREES
        }
        assert installs(target) == expected(TREES)
        assert consistent(target) == 3
        assert faults_of(target, release) == []
        assert list(keys.published(target)) == [signer.fingerprint]
        unseen: list[int] = []
        again = notarize.NotarizeOptions(already_there=unseen.append)
        assert not [e for e in notarize.notarize(source, target, trust, signer, again) if not isinstance(e, Fault)]
        assert unseen == [len(TREES)]
        keys.add(target, stranger.public.read_bytes())
        with pytest.raises(PublishError, match="it offers unknown keys"):
            list(notarize.notarize(source, target, trust, signer, notarize.NotarizeOptions()))
        known = frozenset(keys.fingerprints(stranger.public.read_bytes()))
        list(notarize.notarize(source, target, trust, signer, notarize.NotarizeOptions(known_keys=known)))


def test_notarize_leaves_out_what_an_expired_key_has_signed(tmp_path: Path, key: Key) -> None:
    (tmp_path / "g").mkdir(mode=0o700)
    # the "!" stops the clock: one that runs begins anew in each call, in which a key may then be from the future
    gpg = ["gpg", "--homedir", str(tmp_path / "g"), "--batch", "--passphrase", "", "--faked-system-time", "20200101T000000!"]
    subprocess.run([*gpg, "--quick-gen-key", "old", "ed25519", "sign", "1d"], check=True, capture_output=True)
    public = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout

    def sign_then(text: bytes, _where: str) -> bytes:
        return subprocess.run([*gpg, "--clearsign"], input=text, check=True, capture_output=True).stdout

    source, target = FolderStore(tmp_path / "m"), FolderStore(tmp_path / "release")
    add_entry(tmp_path / "u", "tool")
    push.publish(tmp_path / "u", source, sign=sign_then, options=push.PushOptions(workers=1))
    subprocess.run(["gpgconf", "--homedir", tmp_path / "g", "--kill", "all"], check=True)
    with signing.throw_away_home() as trusted, signing.throw_away_home() as secret:
        trust = signing.TrustHome(trusted)
        trust.trust(public)
        found = list(
            notarize.notarize(source, target, trust, signing.Signer(secret, key.secret, None), notarize.NotarizeOptions())
        )
    ((fault_key, text),) = [(each.key, each.text) for each in found if isinstance(each, Fault)]
    assert fault_key == manifest_key("tool")
    assert text.startswith("signed by a key that has expired")
    assert not list(target.list(layout.SPECS))


def test_a_scratch_folder_that_is_not_there_is_rejected_before_anything_is_uploaded(tmp_path: Path, key: Key) -> None:
    add_entry(tmp_path / "u", "tool")
    done = farm("push", tmp_path / "u", tmp_path / "m", "--signing-key-file", key.secret, "--scratch", tmp_path / "none")
    assert done.returncode == 2
    assert f"--scratch {tmp_path}/none: there is no such folder" in done.stderr
    assert not (tmp_path / "m").exists()


def test_no_room_for_the_index_or_for_what_is_printed_is_one_line(signed: tuple[Key, Path], tmp_path: Path) -> None:
    _, mirror = signed
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        (disk / "filling").write_bytes(b"0" * (1 << 20))
        done = farm("index", mirror, "--rebuild", "--scratch", disk)
    assert done.returncode == 100
    assert f"the file system at {disk} is full" in done.stderr
    assert "--scratch names the folder; the build cache is consistent" in done.stderr
    with Path("/dev/full").open("w") as full:
        printed = subprocess.run(
            [sys.executable, str(ROOT / "spack_farm/__main__.py"), "publish", "ls", mirror],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert printed.returncode == 100
    assert printed.stderr.count("\n") == 1
    assert "No space left on device" in printed.stderr


def test_pruning_takes_two_runs_and_keeps_what_is_locked_or_announced(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    for name, needed in TREES.items():
        add_entry(tmp_path / "u", name, needed)
    push.publish(tmp_path / "u", store, sign=as_it_is)
    now = max(seen.modified_seconds for seen in store.list(""))
    lock = tmp_path / "spack.lock"
    lock.write_text(json.dumps({"concrete_specs": {dag_hash("tool"): node("tool", [])}}))
    policy = prune.KeepRules(dag_hashes=prune.kept_by(lock), age_seconds=1000, grace_seconds=500)
    assert prune.plan(store, policy, wall=lambda: now + 999).marked == []
    first = prune.plan(store, policy, wall=lambda: now + 2000)
    assert first.marked == [manifest_key("app"), manifest_key("lib")]
    assert first.sweepable == {}
    assert prune.mark(store, first)
    marked = max(seen.modified_seconds for seen in store.list(layout.MARKED))
    assert prune.plan(store, policy, wall=lambda: marked + 499).sweepable == {}
    second = prune.plan(store, policy, wall=lambda: marked + 2000)
    assert list(second.sweepable) == first.marked
    again = push.plan(tmp_path / "u", store, replace=True)
    (entry,) = (each for each in again.binaries if each.dag_hash == dag_hash("lib"))
    announced = push_record.AnnouncedBinary(
        manifest_key=entry.manifest_key, dag_hash=entry.dag_hash, blobs=[blob.checksum for blob in entry.blobs]
    )
    (waiting,) = push_record.announce(store, [announced], again.nodes, at_once=1)
    deleted = prune.sweep(store, second, index.IndexOptions())
    assert (deleted.manifests, deleted.is_complete) == (1, True)
    assert consistent(store) == 2
    assert installs(store) == expected({"lib": TREES["lib"], "tool": []})
    assert not store.stat(layout.PRUNING)
    store.delete(waiting)
    push.publish(tmp_path / "u", store, sign=as_it_is)
    assert installs(store) == expected(TREES)
    assert consistent(store) == 3


def test_a_push_waits_for_a_prune_and_then_uploads_what_was_deleted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "m")
    add_entry(tmp_path / "u", "app", TREES["app"])
    store.write(layout.PRUNING, b"")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert list(push_record.pending(store)), "it is announced before it waits"
        store.delete(layout.PRUNING)

    push.publish(tmp_path / "u", store, sign=as_it_is, options=push.PushOptions(sleep=sleep))
    assert len(waits) == 1
    assert consistent(store) == 1
    store.write(layout.PRUNING, b"")
    with pytest.raises(PublishError, match="began more than an hour ago"):
        push.publish(tmp_path / "u", store, sign=as_it_is, options=push.PushOptions(wall=lambda: 1e12, sleep=sleep))


def test_telemetry_is_uploaded_to_the_given_place_and_only_if_complete(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    out = tmp_path / "out" / "zlib-1"
    out.mkdir(parents=True)
    (out / "telemetry.json").write_bytes(SAMPLE.read_bytes())
    files = send_telemetry.found([tmp_path])
    (key,) = send_telemetry.send(files, store, "protected")
    assert key.startswith("telemetry/v1/protected/20")
    assert store.read(key).data == SAMPLE.read_bytes()
    assert send_telemetry.send(files, store, "protected") == [key]
    assert [seen.key for seen in store.list("telemetry/")] == [key]
    (out / "telemetry.json").write_bytes(msgspec.json.encode(sample(complete=False)))
    with pytest.raises(PublishError, match="incomplete: its build still runs"):
        send_telemetry.send(files, store, "other")
    (out / "telemetry.json").write_text("{}")
    with pytest.raises(PublishError, match="not a telemetry document"):
        send_telemetry.send(files, store, "other")
    assert [seen.key for seen in store.list("telemetry/")] == [key]


def test_the_place_of_telemetry_depends_on_whether_the_branch_is_protected(tmp_path: Path) -> None:
    for protected in ("true", "false"):
        done = farm("telemetry", SAMPLE, tmp_path / "m", CI_COMMIT_REF_PROTECTED=protected)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "m/telemetry/v1").iterdir()) == ["other", "protected"]
    assert farm("telemetry", tmp_path / "nothing", tmp_path / "m").returncode == 100


def test_a_push_replaces_what_was_changed_after_its_key_had_signed_it(signed: tuple[Key, Path], tmp_path: Path) -> None:
    key, mirror = signed
    another_key = Key(tmp_path / "k", name="another")
    copy_to(FolderStore(tmp_path / "m"), mirror)
    changed, *_ = sorted((tmp_path / "m" / layout.SPECS).glob("*/*"))
    changed.write_bytes(changed.read_bytes().replace(b"gzip", b"gzap", 1))
    unsigned = mirror.parent / "unsigned"
    # what another key has signed cannot be checked with this one: its users may trust it
    other = farm("push", unsigned, tmp_path / "m", "--signing-key-file", another_key.secret)
    assert (other.returncode, "3 binaries in the build cache already" in other.stderr) == (0, True), other.stderr
    pushed = farm("push", unsigned, tmp_path / "m", "--signing-key-file", key.secret)
    assert (pushed.returncode, "2 binaries in the build cache already" in pushed.stderr) == (0, True), pushed.stderr
    assert f"{changed.name}: Spack would not take what is there; it is uploaded again" in pushed.stderr
    assert faults_of(FolderStore(tmp_path / "m"), key) == []


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "{mirror}", "--trust", "{secret}"),
        ("verify", "{mirror}", "--trust", "{public}", "--trust", "{secret}"),
        ("notarize", "{mirror}", "{mirror}2", "--trust", "{secret}", "--signing-key-file", "{secret}"),
        (
            "notarize",
            "{mirror}",
            "{mirror}2",
            "--trust",
            "{public}",
            "--known-key",
            "{secret}",
            "--signing-key-file",
            "{secret}",
        ),
        ("keys", "{mirror}", "--add", "{secret}"),
        ("verify", "{mirror}", "--trust", "{binary}"),
        ("verify", "{mirror}", "--trust", "{base64}"),
        ("verify", "{mirror}", "--trust", "{both}"),
    ],
)
def test_a_secret_key_where_a_public_one_belongs_is_rejected(
    signed: tuple[Key, Path], tmp_path: Path, words: tuple[str, ...]
) -> None:
    key, mirror = signed
    armored = key.secret.read_bytes()
    (tmp_path / "base64").write_bytes(base64.b64encode(armored))
    (tmp_path / "both").write_bytes(key.public.read_bytes() + armored)
    dearmored = subprocess.run(["gpg", "--dearmor"], input=armored, capture_output=True, check=True).stdout
    (tmp_path / "binary").write_bytes(dearmored)
    files = {name: tmp_path / name for name in ("base64", "both", "binary")}
    done = farm(*(word.format(mirror=mirror, secret=key.secret, public=key.public, **files) for word in words))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "there is a secret key in it" in done.stderr
    assert "gpg --armor --export" in done.stderr
