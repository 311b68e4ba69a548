"""`verify` accepts what Spack accepts: hostile build caches, each shown to both.

The table names each difference with its reason; without a reason, the two answers must be equal.
"""

import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from buildjob.buildcache import layout, signing, verify
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.storage.folder import FolderStore
from tests.labs.build_cache import add_entry, dag_hash
from tests.labs.spack.lab import SpackLab

pytestmark = pytest.mark.timeout(400)

_ASK_SPACK = """
import json, sys
import spack.spec, spack.url_buildcache
answers = {}
for name, (url, key, unsigned) in json.load(open(sys.argv[1])).items():
    entry = spack.url_buildcache.URLBuildcacheEntry(url, None, allow_unsigned=unsigned)
    try:
        entry.read_manifest(f"{url}/{key}")
        entry.fetch_archive()
        spack.spec.Spec.from_dict(entry.fetch_metadata())
        answers[name] = ""
    except BaseException as error:
        answers[name] = f"{type(error).__name__}: {error}"[:300]
    finally:
        entry.destroy()
json.dump(answers, open(sys.argv[2], "w"))
"""
"""Spack's own steps of an installation from a build cache, without the unpacking."""


class Signers:
    """Keys of every kind, in a GnuPG home of their own; `trusted` are the public keys that both sides are given."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "g"
        self.home.mkdir(mode=0o700)
        for name in ("good", "second", "revoked", "unknown"):
            self._new(name, "never")
        self._new("expired", "1d", "--faked-system-time", "20250101T000000")
        self._new("sub", "never", use="cert")
        self._gpg("--quick-add-key", self._fingerprint("sub"), "ed25519", "sign", "never")
        self.revoked_later = self._clearsign(b"{}", "revoked")
        revocation = (self.home / "openpgp-revocs.d" / f"{self._fingerprint('revoked')}.rev").read_text()
        self._trusted_before_revocation = revocation.replace(":-----BEGIN", "-----BEGIN")
        self.trusted = folder / "trusted.asc"

    def revoke(self) -> None:
        """Publish the revocation, once everything is signed."""
        self._gpg("--import", data=self._trusted_before_revocation.encode())
        self.trusted.write_bytes(self._gpg("--armor", "--export", "good", "second", "revoked", "expired", "sub"))
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=True)

    def _new(self, name: str, expiry: str, *options: str, use: str = "sign") -> None:
        self._gpg(*options, "--quick-gen-key", f"{name} <{name}@localhost>", "ed25519", use, expiry)

    def _fingerprint(self, name: str) -> str:
        listed = self._gpg("--with-colons", "--list-keys", name).decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def _clearsign(self, text: bytes, *names: str, options: tuple[str, ...] = ()) -> bytes:
        users = [word for name in names for word in ("--local-user", f"{name}@localhost")]
        return self._gpg(*options, *users, "--clearsign", data=text)

    def sign(self, text: bytes, *names: str, options: tuple[str, ...] = ()) -> bytes:
        """Return the text, clearsigned by these keys."""
        if names == ("expired",):
            options += ("--faked-system-time", "20250101T010000")
        return self._clearsign(text, *(names or ("good",)), options=options)

    def detached(self, text: bytes) -> bytes:
        return self._gpg("--local-user", "good", "--armor", "--detach-sign", data=text)

    def _gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        argv = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
        return subprocess.run([*argv, *arguments], input=data, capture_output=True, check=True).stdout


class Mirror:
    """One build cache with one binary, which a case damages."""

    def __init__(self, folder: Path, signers: Signers) -> None:
        self.folder, self.signers = folder, signers
        self.key = f"{layout.SPECS}app/app-1.0-{dag_hash('app')}{layout.MANIFEST_END}"
        self.text = (folder / self.key).read_bytes()
        self.signed = (folder.parent / "signed").read_bytes()

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    def put(self, text: bytes) -> None:
        (self.folder / self.key).write_bytes(text)

    def put_json(self, value: Any, *names: str) -> None:
        self.put(self.signers.sign(json.dumps(value, indent=0).encode(), *names))

    def row(self, number: int = 0, **changes: Any) -> None:
        manifest = self.manifest
        manifest["data"][number] |= changes
        self.put_json(manifest)

    def path_of(self, number: int) -> Path:
        return self.folder / layout.blob(self.manifest["data"][number]["checksum"])

    def put_blob(self, number: int, data: bytes, algorithm: str = "sha256") -> None:
        """Replace a blob, and sign a manifest that names the new one."""
        checksum = hashlib.new(algorithm, data).hexdigest()
        path = self.folder / "blobs" / algorithm / checksum[:2] / checksum
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.row(number, checksum=checksum, contentLength=len(data), checksumAlgorithm=algorithm)

    def spec(self, **changes: Any) -> bytes:
        spec = json.loads(gzip.decompress(self.path_of(1).read_bytes()))
        return json.dumps(spec | changes).encode()

    def folder_for_tarball(self) -> None:
        self.path_of(0).unlink()
        self.path_of(0).mkdir()

    def over_the_line(self) -> None:
        """Change what gpg does not check: it reads the beginning of a long line."""
        rows = json.dumps(self.manifest["data"])
        signed = self.signers.sign(b'{"pad":"' + b"x" * 21_000 + b'","version":3,"data":' + rows.encode() + b',"more":1}')
        self.put(signed.replace(b'"more":1', b'"more":2'))


class Case(msgspec.Struct, frozen=True):
    """One damage."""

    damage: Callable[[Mirror], object]
    is_good: bool = False
    """What we say."""
    stricter: str = ""
    """Why we reject what Spack accepts."""
    unsigned: bool = False
    """The build cache is one whose signatures are not checked."""


def edit(change: Callable[[bytes], bytes], **options: Any) -> Case:
    """Change the signed text."""
    return Case(lambda m: m.put(change(m.signed)), **options)


UNSIGNED = "what stands there is unsigned"
OTHER_HASHES = "Spack writes SHA-256 only, and others can be forged, or are not read by its other versions"
CASES: dict[str, Case] = {
    "as it should be": Case(lambda _: None, is_good=True),
    "text before the block": edit(lambda s: b"hello\n" + s),
    "an empty line before": edit(lambda s: b"\n" + s),
    "a blank before": edit(lambda s: b" " + s),
    "byte order mark": edit(lambda s: b"\xef\xbb\xbf" + s),
    "text behind the block": edit(lambda s: s + b"hello\n", stricter=UNSIGNED),
    "JSON behind the block": Case(lambda m: m.put(m.signed + m.text), stricter=UNSIGNED),
    "NUL behind the block": edit(lambda s: s + b"\0", stricter=UNSIGNED),
    "blank lines behind": edit(lambda s: s + b"\n \n\t\r\n", is_good=True),
    "no newline at the end": edit(lambda s: s.rstrip(b"\n"), is_good=True),
    "the same block twice": edit(lambda s: s + s),
    "a second signed block": Case(lambda m: m.put(m.signed + m.signers.sign(b"{}"))),
    "a second signature behind": edit(lambda s: s + s[s.index(b"-----BEGIN PGP SIGNATURE") :]),
    "a block within a block": Case(lambda m: m.put(m.signers.sign(m.signed))),
    "a head within the block": edit(
        lambda s: s.replace(b"\n\n{", b"\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{", 1)
    ),
    "line ends of Windows": edit(lambda s: s.replace(b"\n", b"\r\n"), is_good=True),
    "line ends of old Macs": edit(lambda s: s.replace(b"\n", b"\r")),
    "blanks at the ends of lines": edit(lambda s: s.replace(b",\n", b", \t\n"), is_good=True),
    "blanks behind the head": edit(lambda s: s.replace(b"MESSAGE-----\n", b"MESSAGE----- \n"), is_good=True),
    "a protected line": edit(lambda s: s.replace(b"\n{", b"\n- {", 1)),
    "all lines protected": Case(
        lambda m: m.put(m.signed.replace(b"\n\n" + m.text, b"\n\n- " + m.text.replace(b"\n", b"\n- ")))
    ),
    "a line that begins with a dash": Case(lambda m: m.put_json(m.manifest | {"x": [-1]})),
    "no hash in the head": edit(lambda s: s.replace(b"Hash: SHA256\n", b"").replace(b"Hash: SHA512\n", b"")),
    "two hashes in the head": edit(lambda s: s.replace(b"\n\n", b", SHA1\n\n", 1)),
    "two headers for hashes": edit(lambda s: s.replace(b"\n\n", b"\nHash: SHA1\n\n", 1)),
    "a comment in the head": edit(lambda s: s.replace(b"\n\n", b"\nComment: x\n\n", 1)),
    "unprotected by its head": edit(lambda s: s.replace(b"\nHash", b"\nNotDashEscaped: x\nHash", 1)),
    "a comment in the signature": edit(
        lambda s: s.replace(b"SIGNATURE-----\n\n", b"SIGNATURE-----\nComment: a - b\n\n"), is_good=True
    ),
    "no end of the signature": edit(lambda s: s[: s.index(b"-----END")], stricter="the manifest is cut off"),
    "no signature": edit(lambda s: s[: s.index(b"-----BEGIN PGP SIGNATURE")]),
    "only the head": edit(lambda s: s[: s.index(b"{")]),
    "one letter changed": edit(lambda s: s.replace(b"gzip", b"gzap", 1)),
    "more than gpg reads of a line": Case(Mirror.over_the_line),
    "empty": edit(lambda _: b""),
    "not signed": Case(lambda m: m.put(m.text)),
    "a signature without its text": Case(lambda m: m.put(m.signers.detached(m.text))),
    "a signature behind the text": Case(lambda m: m.put(m.text + m.signers.detached(m.text))),
    "a signature of another text": Case(
        lambda m: m.put(m.signed[: m.signed.index(b"-----BEGIN PGP SIGNATURE")] + m.signers.detached(b"other"))
    ),
    "by an unknown key": Case(lambda m: m.put_json(m.manifest, "unknown")),
    "by a subkey": Case(lambda m: m.put_json(m.manifest, "sub"), is_good=True),
    "by two trusted keys": Case(lambda m: m.put_json(m.manifest, "good", "second"), is_good=True),
    "by a trusted and an unknown key": Case(lambda m: m.put_json(m.manifest, "good", "unknown")),
    "by an expired key": Case(lambda m: m.put_json(m.manifest, "expired"), stricter="the key's owner has ended its use"),
    "by a revoked key": Case(lambda m: m.put_json(m.manifest, "revoked"), stricter="its owner has lost the key"),
    "by a key and with a hash of old": Case(
        lambda m: m.put(m.signers.sign(m.text, options=("--digest-algo", "SHA1"))), is_good=True
    ),
    "signed JSON that is none": Case(lambda m: m.put(m.signers.sign(b"{version:3}"))),
    "signed text": Case(lambda m: m.put(m.signers.sign(b"hello"))),
    "an object with equal keys": Case(
        lambda m: m.put(m.signers.sign(b'{"version":9,\n' + m.text.lstrip().removeprefix(b"{"))), is_good=True
    ),
    "an array": Case(lambda m: m.put_json([m.manifest])),
    "fields of the future": Case(
        lambda m: m.put_json(m.manifest | {"a": [1], "data": [r | {"b": None} for r in m.manifest["data"]]}), is_good=True
    ),
    "numbers with a point": Case(lambda m: m.put_json(m.manifest | {"version": 3.0}), is_good=True),
    "not a number": Case(lambda m: m.put_json(m.manifest | {"x": float("nan")}), is_good=True),
    "letters beyond ASCII": Case(lambda m: m.put(m.signers.sign('{"x":"ä",'.encode() + m.text.lstrip()[1:])), is_good=True),
    "letters of another encoding": Case(
        lambda m: m.put(m.signers.sign('{"x":"ä",'.encode("latin-1") + m.text.lstrip()[1:]))
    ),
    "NUL within the text": Case(lambda m: m.put(m.signers.sign(b'{"x":"\0",' + m.text.lstrip()[1:]))),
    "of layout 2": Case(lambda m: m.put_json(m.manifest | {"version": 2})),
    "of layout 4": Case(lambda m: m.put_json(m.manifest | {"version": 4})),
    "of a layout in letters": Case(lambda m: m.put_json(m.manifest | {"version": "3"})),
    "of no layout": Case(lambda m: m.put_json({"data": m.manifest["data"]})),
    "without data": Case(lambda m: m.put_json({"version": 3})),
    "with no blobs": Case(lambda m: m.put_json({"version": 3, "data": []})),
    "without a tarball": Case(lambda m: m.put_json(m.manifest | {"data": m.manifest["data"][1:]})),
    "without a spec": Case(lambda m: m.put_json(m.manifest | {"data": m.manifest["data"][:1]})),
    "a row without its compression": Case(
        lambda m: m.put_json(
            m.manifest | {"data": [{k: v for k, v in r.items() if k != "compression"} for r in m.manifest["data"]]}
        )
    ),
    "a length in letters": Case(lambda m: m.row(contentLength="1000")),
    "another length": Case(lambda m: m.row(contentLength=7), stricter="--quick and other tools compare the sizes"),
    "a negative length": Case(lambda m: m.row(contentLength=-1), stricter="as above"),
    "another kind of tarball": Case(lambda m: m.row(mediaType="application/vnd.spack.install.v3.tar+zstd")),
    "a checksum in capitals": Case(lambda m: m.row(checksum=m.manifest["data"][0]["checksum"].upper())),
    "a checksum that leads away": Case(lambda m: m.row(checksum="../../../../etc/passwd")),
    "an unknown algorithm": Case(lambda m: m.row(checksumAlgorithm="crc32")),
    "MD5": Case(lambda m: m.put_blob(0, b"tarball", "md5"), stricter=OTHER_HASHES),
    "SHA-512": Case(lambda m: m.put_blob(0, b"tarball", "sha512"), stricter=OTHER_HASHES),
    "the tarball is missing": Case(lambda m: m.path_of(0).unlink()),
    "the tarball is cut off": Case(lambda m: m.path_of(0).write_bytes(b"tarball")),
    "the tarball is longer": Case(lambda m: m.path_of(0).write_bytes(m.path_of(0).read_bytes() + b"\0")),
    "the tarball has changed": Case(lambda m: m.path_of(0).write_bytes(m.path_of(0).read_bytes()[::-1])),
    "the tarball is empty": Case(lambda m: m.put_blob(0, b""), is_good=True),
    "the tarball is a folder": Case(Mirror.folder_for_tarball),
    "the spec is missing": Case(lambda m: m.path_of(1).unlink()),
    "the spec has changed": Case(lambda m: m.path_of(1).write_bytes(gzip.compress(b"{}"))),
    "the spec is plain": Case(lambda m: m.put_blob(1, m.spec()), is_good=True),
    "the spec is of layout 4": Case(lambda m: m.put_blob(1, m.spec(buildcache_layout_version=4))),
    "the spec is of no layout": Case(
        lambda m: m.put_blob(1, json.dumps({"spec": json.loads(m.spec())["spec"]}).encode()), is_good=True
    ),
    "the spec is no JSON": Case(lambda m: m.put_blob(1, b"hello")),
    "the spec is cut off": Case(lambda m: m.put_blob(1, gzip.compress(m.spec())[:-9])),
    "something behind the spec": Case(lambda m: m.put_blob(1, gzip.compress(m.spec()) + b"hello")),
    "zeros behind the spec": Case(lambda m: m.put_blob(1, gzip.compress(m.spec()) + b"\0" * 9), is_good=True),
    "the spec has no nodes": Case(lambda m: m.put_blob(1, m.spec(spec={"_meta": {"version": 5}, "nodes": []}))),
    "the spec of another package": Case(
        lambda m: m.put_blob(1, m.spec().replace(dag_hash("app").encode(), dag_hash("other").encode())),
        stricter="a mirror's owner could pass one signed package off as another",
    ),
    "a manifest of a mebibyte": Case(
        lambda m: m.put_json(m.manifest | {"x": ["y" * 1000] * 1100}), stricter="what comes from outside is bounded"
    ),
    "unsigned, as the client allows": Case(lambda m: m.put(m.text), is_good=True, unsigned=True),
    "signed, though it need not be": Case(lambda _: None, is_good=True, unsigned=True),
    "unsigned, text before the block": edit(lambda s: b"hello\n" + s, unsigned=True),
    "unsigned, byte order mark": Case(lambda m: m.put(b"\xef\xbb\xbf" + m.text), unsigned=True),
    "unsigned, in another encoding": Case(lambda m: m.put(m.text.decode().encode("utf-16")), unsigned=True),
    "unsigned, something behind": Case(lambda m: m.put(m.text + b"{}"), unsigned=True),
    "unsigned, nested too deeply": Case(lambda m: m.put(b"[" * 100_000), unsigned=True),
    "unsigned, a bad signature": edit(lambda s: s.replace(b'"version":3', b'"version": 3'), is_good=True, unsigned=True),
    "unsigned, no hash in the head": edit(
        lambda s: s.replace(b"Hash: SHA256\n", b"").replace(b"Hash: SHA512\n", b""), unsigned=True
    ),
    "unsigned, a protected line": edit(lambda s: s.replace(b"\n{", b"\n- {", 1), unsigned=True),
    "unsigned, empty": edit(lambda _: b"", unsigned=True),
}


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signers, dict[str, Mirror]]:
    """Every case's build cache, damaged."""
    signers = Signers(tmp_path_factory.mktemp("k"))
    folder = tmp_path_factory.mktemp("mirrors")
    add_entry(folder / "pattern", "app")
    first = Mirror.__new__(Mirror)
    first.signers = signers
    (folder / "signed").write_bytes(signers.sign(next((folder / "pattern").rglob("*.spec.manifest.json")).read_bytes()))
    made = {}
    for number, (name, case) in enumerate(CASES.items()):
        copy = folder / str(number)
        shutil.copytree(folder / "pattern", copy)
        made[name] = mirror = Mirror(copy, signers)
        mirror.put(mirror.signed)
        case.damage(mirror)
    signers.revoke()
    return signers, made


@pytest.fixture(scope="module")
def of_spack(
    lab: SpackLab, mirrors: tuple[Signers, dict[str, Mirror]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What Spack says: nothing if it accepts, else its error. One start of Spack answers the whole table."""
    signers, made = mirrors
    folder = tmp_path_factory.mktemp("s")
    (folder / "ask.py").write_text(_ASK_SPACK)
    table = {name: (mirror.folder.as_uri(), mirror.key, CASES[name].unsigned) for name, mirror in made.items()}
    (folder / "table.json").write_text(json.dumps(table))
    environment = {"SPACK_GNUPGHOME": str(folder / "g")}
    trusted = lab.stock_spack("gpg", "trust", signers.trusted, environment=environment)
    assert trusted.returncode == 0, trusted.stderr
    arguments = ("python", folder / "ask.py", folder / "table.json", folder / "answers.json")
    asked = lab.stock_spack(*arguments, environment=environment)
    assert asked.returncode == 0, asked.stderr
    answers: dict[str, str] = json.loads((folder / "answers.json").read_text())
    return answers


@pytest.fixture(scope="module")
def of_ours(mirrors: tuple[Signers, dict[str, Mirror]]) -> dict[str, str]:
    """What we say: nothing if we accept, else the fault."""
    signers, made = mirrors
    with signing.throw_away_home() as home:
        trust = signing.TrustHome(home)
        trust.trust(signers.trusted.read_bytes())
        answers = {}
        for name, mirror in made.items():
            checks = None if CASES[name].unsigned else trust
            found = verify.check(FolderStore(mirror.folder), mirror.key, checks, read_blobs=True)
            answers[name] = found.text if isinstance(found, Fault) else ""
        return answers


@pytest.mark.parametrize("name", CASES)
def test_verify_accepts_what_it_should(name: str, of_ours: dict[str, str]) -> None:
    assert (of_ours[name] == "") == CASES[name].is_good, of_ours[name]


@pytest.mark.parametrize("name", CASES)
def test_spack_says_the_same(name: str, of_spack: dict[str, str], of_ours: dict[str, str]) -> None:
    if CASES[name].stricter:
        assert (of_spack[name], bool(of_ours[name])) == ("", True)
    else:
        assert (of_spack[name] == "") == (of_ours[name] == ""), f"Spack: {of_spack[name]}; we: {of_ours[name]}"


def test_where_we_are_stricter_is_documented() -> None:
    assert sum(bool(case.stricter) for case in CASES.values()) < len(CASES) / 5
