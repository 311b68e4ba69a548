"""What the agent publishes with a package, what it never signs, and what stays where it is: on real Spack."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache.clearsigned import body_of
from buildjob.buildcache.manifest import parse_manifest
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, mirror_in_s3, other_tree, read_telemetry

pytestmark = [pytest.mark.timeout(400), pytest.mark.spack]


def publish(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `spack-farm publish` to its end."""
    argv = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "publish", *map(str, arguments)]
    given = {"PATH": os.environ["PATH"]} | (environment or {})
    return subprocess.run(argv, capture_output=True, text=True, env=given, check=False, timeout=100)


def names(mirror: Path) -> list[str]:
    """Return the names of the packages in a build cache in a folder."""
    return sorted(path.parent.name for path in mirror.glob("v3/manifests/spec/*/*"))


def scope(folder: Path, mirror: Path, **mirror_options: Any) -> Path:
    """Return a scope with a tree of its own and one binary mirror."""
    folder.mkdir()
    made = other_tree(folder, mirror)
    mirrors = {"mirrors:": {"farm": {"url": mirror.as_uri()} | mirror_options}}
    (made / "mirrors.yaml").write_text(json.dumps(mirrors))
    return made


@pytest.fixture
def published(lab: SpackLab, key: Key, tmp_path: Path) -> Path:
    """A build cache with hello-app, and with what was installed before and it needs at run time."""
    lab.forget("hello-app")
    done = lab.build("hello-app", "--mirror", tmp_path / "m", "--signing-key-file", key.secret, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published with it, since it needs them at run time: gcc-runtime" in done.stdout
    assert "no such folder" not in done.stdout + done.stderr, "that the build cache did not exist is no news"
    return tmp_path / "m"


def test_a_build_cache_serves_its_root_and_what_is_of_unknown_origin_is_not_signed(
    lab: SpackLab, key: Key, published: Path, tmp_path: Path
) -> None:
    assert names(published) == ["gcc-runtime", "hello-app", "libhello"]
    assert publish("verify", published, "--trust", key.public).returncode == 0

    # another tree takes the dependencies from there, with a trusted signature: they are copied to the next build cache
    arguments = ("hello-app", "--signing-key-file", key.secret, "--out", tmp_path / "out")
    second = tmp_path / "m2"
    done = lab.build("-C", scope(tmp_path / "a", published, signed=True), *arguments, "--mirror", second)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names(second) == ["compiler-wrapper", "gcc-runtime", "hello-app", "libhello"]
    copied = next(second.glob("v3/manifests/spec/libhello/*")).read_bytes()
    original = next(published.glob("v3/manifests/spec/libhello/*")).read_bytes()
    assert parse_manifest(copied, where="copy") == parse_manifest(original, where="original")

    # a tree that takes them from an unsigned mirror gets no signature for them, nor for the root, and builds nothing in vain
    unsigned, third = scope(tmp_path / "c", published, signed=False), tmp_path / "m3"
    assert lab.stock_spack("install", "--cache-only", "libhello", scopes=[unsigned]).returncode == 0
    done = lab.build("-C", unsigned, "libhello", *arguments, "--mirror", third)
    assert done.returncode == 100
    assert "nothing vouches for its binary" in done.stderr, "libhello is a root that was installed before"
    assert "libhello@1.0/" in done.stderr
    assert "installed from a build cache without a signature that is trusted now" in done.stderr
    assert names(third) == []
    assert not list((tmp_path / "c" / "opt").glob("*/hello-app-*"))
    done = lab.build("-C", unsigned, *arguments, "--mirror", third, "--allow-missing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert names(third) == ["compiler-wrapper", "hello-app"]
    found = publish("verify", third, "--trust", key.public)
    assert (found.returncode, "libhello@1.0/" in found.stdout) == (1, True)
    assert publish("verify", third, "--trust", key.public, "--allow-missing").returncode == 0


def test_a_dependency_that_no_client_would_take_is_published_again(
    lab: SpackLab, key: Key, published: Path, tmp_path: Path
) -> None:
    # who checks signatures is served by neither
    unsigned, garbled = (next(published.glob(f"v3/manifests/spec/{name}/*")) for name in ("libhello", "gcc-runtime"))
    unsigned.write_bytes(body_of(unsigned.read_bytes()))
    garbled.write_bytes(b"}{")
    next(published.glob("v3/manifests/spec/hello-app/*")).unlink()
    arguments = ("hello-app", "--mirror", published, "--signing-key-file", key.secret, "--out", tmp_path / "again")
    done = lab.build(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert publish("verify", published, "--trust", key.public).returncode == 0

    # a pipe would be read without an end
    garbled.unlink()
    os.mkfifo(garbled)
    done = lab.build(*arguments)
    assert (done.returncode, f"{garbled}: not a file; delete it" in done.stderr) == (100, True), done.stderr


def test_what_must_not_be_redistributed_stays_out_of_a_folder_and_of_the_notarys_mirror(
    lab: SpackLab, key: Key, tmp_path: Path
) -> None:
    signing = ("--signing-key-file", key.secret)
    sealed = ("hello-needs-sealed ^hello-sealed~open", "--mirror", tmp_path / "m", *signing)
    done = lab.build(*sealed, "--out", tmp_path / "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not published: its recipe says that its binary must not be redistributed" in done.stdout
    assert names(tmp_path / "m") == ["hello-needs-sealed"]
    assert publish("verify", tmp_path / "m", "--trust", key.public).returncode == 0
    again = lab.build(*sealed, "--out", tmp_path / "2")
    assert "already in the build cache" in again.stdout, "what must not be there is not waited for"

    private = tmp_path / "private"
    done = lab.build("hello-sealed~open", "--mirror", private, *signing, "--out", tmp_path / "3", "--private")
    assert done.returncode == 0, done.stdout + done.stderr
    assert names(private) == ["hello-sealed"]
    public = tmp_path / "public"
    notarized = publish("notarize", private, public, "--trust", key.public, *signing)
    assert (notarized.returncode, names(public)) == (0, []), notarized.stderr
    assert notarized.stdout.startswith("kept  v3/manifests/spec/hello-sealed/")
    publish("notarize", private, public, "--trust", key.public, *signing, "--private")
    assert names(public) == ["hello-sealed"]

    # a folder that Spack wrote with --private says nothing: its recipes do
    folder = tmp_path / "unsigned"
    wrote = lab.stock_spack("buildcache", "push", "--unsigned", "--private", folder.as_uri(), "hello-needs-sealed")
    assert wrote.returncode == 0, wrote.stdout + wrote.stderr
    assert names(folder) == ["hello-needs-sealed", "hello-sealed"]
    asked = ("--spack", lab.spack.root, "-C", lab.scope)
    pushed = publish("push", folder, tmp_path / "p", *signing, *asked, environment=lab.environment)
    assert (pushed.returncode, names(tmp_path / "p")) == (0, ["hello-needs-sealed"]), pushed.stderr
    assert "must not be redistributed (--private): hello-sealed" in pushed.stderr
    assert publish("verify", tmp_path / "p", "--trust", key.public).returncode == 0, (
        "its manifest says why it lacks something"
    )

    # without --private Spack leaves it out itself: what needs it says so all the same, here and at the notary's
    shutil.rmtree(folder / "v3/manifests/spec/hello-sealed")
    pushed = publish("push", folder, tmp_path / "q", *signing, *asked, environment=lab.environment)
    assert (pushed.returncode, names(tmp_path / "q")) == (0, ["hello-needs-sealed"]), pushed.stderr
    assert publish("notarize", tmp_path / "q", tmp_path / "r", "--trust", key.public, *signing).returncode == 0
    for mirror in (tmp_path / "q", tmp_path / "r"):
        assert publish("verify", mirror, "--trust", key.public).returncode == 0


def test_s3_gets_what_a_folder_gets(
    lab: SpackLab, key: Key, versitygw: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{versitygw.bucket()}/farm"
    lab.forget("hello-app")
    arguments = ("--mirror", url, "--signing-key-file", key.secret, "--out", tmp_path / "out")
    done = lab.build("hello-app", "hello-sealed~open", *arguments, environment=versitygw.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    document = read_telemetry(tmp_path / "out", "hello-sealed").publish
    assert document
    assert document.state == "not_redistributable"
    reported = read_telemetry(tmp_path / "out", "hello-app").publish
    assert reported
    assert "/hello-app-1.0-" in reported.url
    listed = publish("verify", url, "--trust", key.public, "--json", environment=versitygw.environment)
    assert listed.returncode == 0, listed.stderr
    assert sorted(each.split("/")[3] for each in json.loads(listed.stdout)) == ["gcc-runtime", "hello-app", "libhello"]

    # what no client would take is published again, as in a folder
    for name, value in versitygw.environment.items():
        monkeypatch.setenv(name, value)
    store = versitygw.store(url)
    keys = {each.split("/")[3]: each for each in json.loads(listed.stdout)}
    store.write(keys["libhello"], body_of(store.read(keys["libhello"]).data))
    store.write(keys["gcc-runtime"], b"}{")
    store.delete(keys["hello-app"])
    done = lab.build("hello-app", *arguments, environment=versitygw.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert publish("verify", url, "--trust", key.public, environment=versitygw.environment).returncode == 0

    trusted = {"SPACK_GNUPGHOME": str(tmp_path / "g"), "MY_S3_SECRET": versitygw.environment["AWS_SECRET_ACCESS_KEY"]}
    lab.stock_spack("gpg", "trust", key.public, environment=trusted)
    empty = mirror_in_s3(tmp_path / "empty", url, versitygw)
    installed = lab.stock_spack("install", "--cache-only", "hello-app", scopes=[empty], environment=trusted)
    assert installed.returncode == 0, installed.stdout + installed.stderr
