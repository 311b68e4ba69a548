"""Fixtures for tests on real programs: a Spack with the bundled examples, a signing key, S3 servers."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import Store
from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.process import child
from buildjob.spack.find import SpackInstallation, find
from tests.labs.build_cache import MakeStore
from tests.labs.s3.server import Server, versitygw_program
from tests.labs.s3.server import moto as serve_moto
from tests.labs.s3.server import versitygw as serve_versitygw
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="session")
def spack() -> SpackInstallation:
    """A real Spack; without one the test is skipped, with the way to get it."""
    try:
        return find("", os.environ, from_environment(os.environ))
    except SpackError as error:
        pytest.skip(f"no real Spack: {error}")


@pytest.fixture(scope="session")
def lab(spack: SpackInstallation, tmp_path_factory: pytest.TempPathFactory) -> SpackLab:
    """The laboratory, with the examples' dependencies built once."""
    made = SpackLab(tmp_path_factory.mktemp("lab"), spack)
    made.restore()
    return made


@pytest.fixture(autouse=True)
def lab_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the laboratory to the next test as this one found it: tests run in any order."""
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").restore()


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Make this process get the orphans of a build, as the agent does."""
    child.become_subreaper()
    yield
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """A signing key without passphrase, in a folder with a short name: gpg-agent's socket lies in it."""
    return Key(tmp_path_factory.mktemp("k"))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_versitygw(versitygw_program(), tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the servers' credentials, as a user's shell has them."""
    for name, value in Server("any", "").environment.items():
        if not name.endswith("_URL"):
            monkeypatch.setenv(name, value)


@pytest.fixture(params=["moto", "versitygw"])
def s3(request: pytest.FixtureRequest, credentials: None) -> Server:
    """Each S3 server there is."""
    del credentials
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["folder", "moto", "versitygw"])
def make_store(request: pytest.FixtureRequest, credentials: None, tmp_path: Path) -> MakeStore:
    """Each kind of storage there is."""
    del credentials
    if request.param == "folder":
        made: list[Path] = []

        def folder(**_access: object) -> Store:
            made.append(tmp_path / f"mirror-{len(made)}")
            return FolderStore(made[-1])

        return folder
    server: Server = request.getfixturevalue(request.param)
    return lambda **access: server.store(f"s3://{server.bucket()}/some/prefix", **access)
