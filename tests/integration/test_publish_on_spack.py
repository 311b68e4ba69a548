"""What we publish to S3 is what Spack expects: installed, listed, reused, and refused where it was tampered with."""

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import layout, push
from buildjob.buildcache.manifest import parse_manifest
from buildjob.buildcache.signing import Signer, throw_away_home
from buildjob.buildcache.storage.folder import FolderStore
from tests.labs.build_cache import installs
from tests.labs.s3.server import Server
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, mirror_in_s3, read_telemetry

# a Spack that starts for the first time on a loaded machine takes its time
pytestmark = pytest.mark.timeout(400)


class Published:
    """A build cache in S3 to which the agent has published hello-app and all its dependencies."""

    def __init__(self, lab: SpackLab, key: Key, server: Server, folder: Path) -> None:
        self.server, self.key, self.lab = server, key, lab
        self.bucket = server.bucket()
        self.url = f"s3://{self.bucket}/farm"
        self.environment = server.environment | {"MY_S3_SECRET": server.environment["AWS_SECRET_ACCESS_KEY"]}
        self.out = folder / "out"
        # what the lab has installed is published as it is; the root is built
        lab.forget("hello-app")
        self.done = lab.build(
            "hello-app", "libhello", "gcc-runtime", "compiler-wrapper",
            "--mirror", self.url, "--signing-key-file", key.secret, "--out", self.out, environment=server.environment,
        )  # fmt: skip
        assert self.done.returncode == 0, self.done.stdout + self.done.stderr
        self.trusted = {"SPACK_GNUPGHOME": str(folder / "g")} | self.environment
        assert lab.stock_spack("gpg", "trust", key.public, environment=self.trusted).returncode == 0

    def spack(self, *arguments: str, scope: Path) -> Any:
        return self.lab.stock_spack(*arguments, scopes=[scope], environment=self.trusted)


PublishTo = Callable[[str], Published]


@pytest.fixture(scope="session")
def publish_to(request: pytest.FixtureRequest, lab: SpackLab, tmp_path_factory: pytest.TempPathFactory) -> PublishTo:
    """Gives what was published to a server; that happens once, in whatever order the tests run."""

    @functools.cache
    def one(name: str) -> Published:
        server: Server = request.getfixturevalue(name)
        return Published(lab, Key(tmp_path_factory.mktemp("k")), server, tmp_path_factory.mktemp("p"))

    return one


@pytest.fixture(params=["moto", "versitygw"])
def published(request: pytest.FixtureRequest, publish_to: PublishTo) -> Published:
    return publish_to(request.param)


def test_the_agent_publishes_to_s3_and_stock_spack_installs_lists_and_reuses(published: Published, tmp_path: Path) -> None:
    document = read_telemetry(published.out, "hello-app")
    assert document.publish
    assert document.publish.state == "published"
    assert document.publish.url.startswith(f"{published.url}/v3/manifests/spec/hello-app/hello-app-1.0-")
    scope = mirror_in_s3(tmp_path, published.url, published.server)
    listed = published.spack("buildcache", "list", "-a", "-l", scope=scope)
    assert re.search(rf"{document.spec.hash[:7]}.*hello-app@1.0", listed.stdout), listed.stdout + listed.stderr
    reused = published.spack("spec", "--json", "hello-app", scope=scope)
    nodes = json.loads(reused.stdout[reused.stdout.index("{") :])["spec"]["nodes"]
    assert nodes[0]["hash"] == document.spec.hash
    installed = published.spack("install", "--cache-only", "hello-app", scope=scope)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "Good signature" in installed.stderr
    assert list((tmp_path / "opt").glob("*/hello-app-1.0-*/bin/hello-app"))


def test_what_is_there_already_is_not_built_again(published: Published, tmp_path: Path) -> None:
    published.lab.forget("hello-app")
    done = published.lab.build(
        "hello-app", "--mirror", published.url, "--signing-key-file", published.key.secret, "--out", tmp_path,
        environment=published.server.environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path, "hello-app").outcome == "already_there"


def test_our_index_is_the_one_that_spack_makes(published: Published, credentials: None, tmp_path: Path) -> None:
    del credentials
    store = published.server.store(published.url)
    ours = installs(store)
    assert sum(entry["in_buildcache"] for entry in ours.values()) == 4
    scope = mirror_in_s3(tmp_path, published.url, published.server)
    kept = store.read(layout.INDEX).data
    updated = published.spack("buildcache", "update-index", "farm", scope=scope)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert store.read(layout.INDEX).data != kept
    assert installs(store) == ours
    store.write(layout.INDEX, kept)


@pytest.mark.parametrize(
    ("published", "damage"),
    [
        *(("moto", each) for each in ("manifest tampered", "blob cut off", "signed by a stranger", "not signed")),
        ("versitygw", "blob cut off"),  # the others are gpg's business, whatever the server
    ],
    indirect=["published"],
)
def test_what_is_not_as_it_was_signed_is_refused(
    published: Published, credentials: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, damage: str
) -> None:
    del credentials
    store = published.server.store(published.url)
    (seen,) = store.list(layout.SPECS + "compiler-wrapper/")
    kept = store.read(seen.key).data
    manifest = parse_manifest(kept, where="test")
    tarball = layout.blob(manifest.data[0].checksum)
    content = store.read(tarball).data
    if damage == "manifest tampered":
        store.write(seen.key, re.sub(rb'("contentLength":)\d', rb"\g<1>9", kept, count=1))
    elif damage == "blob cut off":
        store.write(tarball, content[: len(content) // 2])
    elif damage == "signed by a stranger":
        text = kept.partition(b"\n\n")[2].partition(b"\n-----BEGIN PGP SIGNATURE-----")[0]
        with throw_away_home() as home:
            stranger = Key(tmp_path_factory.mktemp("k"), name="stranger")
            store.write(seen.key, Signer(home, stranger.secret, None).clearsign(text, where="test"))
    else:
        store.write(seen.key, kept.partition(b"\n\n")[2].partition(b"\n-----BEGIN PGP SIGNATURE-----")[0])
    try:
        scope = mirror_in_s3(tmp_path, published.url, published.server)
        refused = published.spack("install", "--cache-only", "compiler-wrapper", scope=scope)
        assert refused.returncode == 1
        assert "No binary" in refused.stdout + refused.stderr
        assert not list((tmp_path / "opt").glob("*/compiler-wrapper-*"))
    finally:
        store.write(seen.key, kept)
        store.write(tarball, content)
        shutil.rmtree(tmp_path / "opt", ignore_errors=True)


def test_a_tree_that_spack_wrote_gets_the_index_that_spack_would_make(
    lab: SpackLab, tmp_path: Path, credentials: None
) -> None:
    del credentials
    folder = tmp_path / "unsigned"
    pushed = lab.stock_spack("buildcache", "push", "--unsigned", folder.as_uri(), "libhello")
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr
    store = FolderStore(tmp_path / "m")
    push.publish(folder, store, sign=lambda text, _where: text)
    ours = installs(store)
    updated = lab.stock_spack("buildcache", "update-index", store.url)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert installs(store) == ours
