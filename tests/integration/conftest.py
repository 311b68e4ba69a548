"""A laboratory for tests on real Spack: the bundled examples, a signing key, everything below one folder."""

import contextlib
import functools
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from buildjob import telemetry
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import Store
from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.spack.find import SpackInstallation, find
from ctest_xml.check import check
from tests import cdash_schemas
from tests.integration import s3_server

ROOT = Path(__file__).resolve().parents[2]
TEST_REPO = ROOT / "tests" / "data" / "spack_repo" / "spack_farm_tests"
TEST_SOURCES = ROOT / "tests" / "data" / "sources"


def module(path: Path) -> ModuleType:
    """Load a script that is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Lab:
    """One prepared folder, and how to run the agent and stock Spack in it."""

    def __init__(self, folder: Path, spack: SpackInstallation) -> None:
        self.folder = folder
        self.spack = spack
        self.scope = self._prepare()
        self.environment = {
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "SPACK_DISABLE_LOCAL_CONFIG": "1",
            "SPACK_USER_CACHE_PATH": str(folder / "user_cache"),
            "SPACK_ROOT": str(spack.root),
            "SPACK_GNUPGHOME": str(folder / "spack-gpg"),
        }
        if python := spack.python or os.environ.get("SPACK_PYTHON"):
            self.environment["SPACK_PYTHON"] = str(python)
        (folder / "home").mkdir(exist_ok=True)

    def _prepare(self) -> Path:
        """Write Spack's configuration and the sources; return the scope."""
        sources = tuple(sorted(TEST_SOURCES.iterdir())) if TEST_SOURCES.is_dir() else ()
        repos = {"spack_farm_tests": TEST_REPO} if TEST_REPO.is_dir() else {}
        scope: Path = module(ROOT / "examples" / "prepare.py").prepare(self.folder, repos=repos, sources=sources)
        return scope

    def agent_argv(self, *arguments: str | Path) -> list[str]:
        """The command line of `spack-farm build` with the lab's configuration."""
        return [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "-C", str(self.scope), *map(str, arguments)]

    def build(
        self, *arguments: str | Path, environment: dict[str, str] | None = None, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """Run the agent to its end."""
        return subprocess.run(
            self.agent_argv(*arguments),
            capture_output=True,
            text=True,
            errors="replace",
            env=self.environment | (environment or {}),
            cwd=self.folder,
            timeout=timeout,
            check=False,
        )

    def stock_spack(
        self,
        *arguments: str | Path,
        scopes: Sequence[Path] = (),
        environment: dict[str, str] | None = None,
        timeout: float = 100,
    ) -> subprocess.CompletedProcess[str]:
        """Run Spack itself; `scopes` are stronger than the lab's own."""
        words = [word for scope in (self.scope, *scopes) for word in ("-C", str(scope))]
        return subprocess.run(
            [str(self.spack.program), *words, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment | {"PATH": f"{os.environ['PATH']}:{self.spack.tools or ''}"} | (environment or {}),
            timeout=timeout,
            check=False,
        )

    def forget(self, *names: str) -> None:
        """Uninstall packages, so that they are to be built again."""
        for name in names:
            self.stock_spack("uninstall", "-y", "--all", name)


class Key:
    """A throw-away signing key: `secret` and `public` are files."""

    def __init__(self, folder: Path, *, passphrase: str = "", name: str = "tester", kind: str = "ed25519") -> None:
        home = folder / "g"
        home.mkdir(mode=0o700, parents=True)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase]
        subprocess.run(
            [*gpg, "--quick-gen-key", f"{name} <{name}@localhost>", kind, "sign", "never"],
            check=True,
            capture_output=True,
        )
        self.secret, self.public = folder / "secret.asc", folder / "public.asc"
        self.secret.write_bytes(
            subprocess.run([*gpg, "--armor", "--export-secret-keys"], check=True, capture_output=True).stdout
        )
        self.public.write_bytes(subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout)
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


@pytest.fixture(scope="session")
def spack() -> SpackInstallation:
    """A real Spack, or a skip that says how to get one."""
    try:
        return find("", os.environ, from_environment(os.environ))
    except SpackError as error:
        pytest.skip(f"no real Spack: {error}")


@pytest.fixture(scope="session")
def lab(spack: SpackInstallation, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The laboratory, with the examples' dependencies built once."""
    made = Lab(tmp_path_factory.mktemp("lab"), spack)
    done = made.build("libhello", "--out", made.folder / "first")
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """A signing key without passphrase, in a folder with a short name: gpg-agent's socket lies in it."""
    return Key(tmp_path_factory.mktemp("k"))


MakeStore = Callable[..., Store]
"""Makes an empty store; takes the options of `S3Store`, which a folder ignores."""


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    with s3_server.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    with s3_server.versitygw(s3_server.versitygw_program(), tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the servers' credentials, as a user's shell has them."""
    for name, value in s3_server.Server("any", "").environment.items():
        if not name.endswith("_URL"):
            monkeypatch.setenv(name, value)


@pytest.fixture(params=["moto", "versitygw"])
def s3(request: pytest.FixtureRequest, credentials: None) -> s3_server.Server:
    """Each S3 server there is."""
    del credentials
    server: s3_server.Server = request.getfixturevalue(request.param)
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
    server: s3_server.Server = request.getfixturevalue(request.param)
    return lambda **access: server.store(f"s3://{server.bucket()}/some/prefix", **access)


@contextlib.contextmanager
def limited_cgroup(limit_bytes: int) -> Iterator[list[str]]:
    """Make a cgroup v1 memory group with a limit; give the words that start a program inside it. Skips without the right."""
    folder = Path("/sys/fs/cgroup/memory") / f"spack-farm-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"cannot make a memory cgroup (v1, root): {error}")
    try:
        yield ["/bin/sh", "-c", f'echo 0 > {folder}/cgroup.procs; exec "$@"', "sh"]
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.02)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder by HTTP on loopback; give its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a small tmpfs. Skips without the right to."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs (root): {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def cdash_faults(out: Path, name: str) -> list[str]:
    """What is wrong with a run's CDash documents, by our own check and, where they can be had, by CDash's schemas."""
    (folder,) = out.glob(f"{name}-*/cdash")
    documents = sorted(folder.glob("*.xml"))
    assert {"Build.xml", "Notes.xml", "Upload.xml"} <= {path.name for path in documents}
    found = [f"{path.name}: {fault}" for path in documents for fault in check(path)]
    if (ROOT.parent / "shared" / "data" / "cdash" / "xsd").is_dir():
        found += [f"{path.name}: {fault}" for path in documents if (fault := cdash_schemas.fault(path.read_bytes()))]
    return found


def read_telemetry(out: Path, name: str) -> telemetry.Telemetry:
    """The telemetry of the only run of a package below an output folder."""
    (path,) = out.glob(f"{name}-*/telemetry.json")
    return telemetry.read(path)


def other_tree(folder: Path, mirror: Path, *, misc_cache: Path | None = None) -> Path:
    """A configuration scope with another install tree and the mirror as the only binary mirror, signatures checked."""
    scope = folder / "other"
    scope.mkdir()
    config = {"config": {"install_tree": {"root": str(folder / "opt")}, "misc_cache": str(misc_cache or folder / "misc")}}
    (scope / "config.yaml").write_text(json.dumps(config))
    (scope / "mirrors.yaml").write_text(json.dumps({"mirrors:": {"farm": {"url": mirror.as_uri(), "signed": True}}}))
    return scope
