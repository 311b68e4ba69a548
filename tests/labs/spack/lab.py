"""A laboratory for tests on real Spack: the bundled examples, everything below one folder."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from buildjob import telemetry
from buildjob.spack.find import SpackInstallation
from ctest_xml.check import check
from tests.labs import cdash_schemas
from tests.labs.checkout import ROOT, load_script
from tests.labs.s3.server import Server

TEST_REPO = ROOT / "tests" / "data" / "spack_repo" / "spack_farm_tests"
TEST_SOURCES = ROOT / "tests" / "data" / "sources"


class SpackLab:
    """One prepared folder; runs the agent and stock Spack in it."""

    def __init__(self, folder: Path, spack: SpackInstallation, *, installer: str = "") -> None:
        """Prepare the folder; `installer` is Spack's `config:installer`, empty for its default."""
        self.folder = folder
        self.spack = spack
        self.scope = self._prepare()
        self.installer = installer or os.environ.get("SPACK_FARM_TEST_INSTALLER", "")
        if self.installer:
            config = json.loads((self.scope / "config.yaml").read_text())
            config["config"]["installer"] = self.installer
            (self.scope / "config.yaml").write_text(json.dumps(config))
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
        scope: Path = load_script(ROOT / "examples" / "prepare.py").prepare(self.folder, repos=repos, sources=sources)
        return scope

    def agent_argv(self, *arguments: str | Path) -> list[str]:
        """Return the command line of `spack-farm build` with the lab's configuration."""
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
        scope_options = [word for scope in (self.scope, *scopes) for word in ("-C", str(scope))]
        return subprocess.run(
            [str(self.spack.program), *scope_options, *map(str, arguments)],
            input="",  # a pipe: Spack's new installer can't wait for keys at /dev/null
            capture_output=True,
            text=True,
            env=self.environment | {"PATH": f"{os.environ['PATH']}:{self.spack.tools or ''}"} | (environment or {}),
            timeout=timeout,
            check=False,
        )

    def forget(self, *names: str) -> None:
        """Uninstall packages, and what needs them, so that the next call builds them again."""
        for name in names:
            done = self.stock_spack("uninstall", "-y", "--all", "--dependents", name)
            assert done.returncode == 0 or "does not match any installed packages" in done.stdout + done.stderr, done.stderr

    def restore(self) -> None:
        """Put back what every test may rely on, wherever its turn comes: the examples' dependencies, built in this tree."""
        opt = self.folder / "opt"
        if any(opt.glob("*/*/.spack/binary_distribution")):  # from a build cache: nothing vouches for it any more
            self.forget("libhello", "gcc-runtime", "compiler-wrapper")
        if not any(opt.glob("*/libhello-*/lib/libhello.*")):
            done = self.build("libhello", "--out", self.folder / f"restored-{time.monotonic_ns()}")
            assert done.returncode == 0, done.stdout + done.stderr


class SpackStarts:
    """Counts how often Spack is started: its interpreter is a script that notes what it is given."""

    def __init__(self, folder: Path, python: str) -> None:
        self._log = folder / "spack-starts"
        program = folder / "counting-python"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self._log}\nexec {python} "$@"\n')
        program.chmod(0o755)
        self.environment = {"SPACK_PYTHON": str(program)}

    @property
    def lines(self) -> list[str]:
        """What Spack was started with, each time."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def scripts(self) -> list[str]:
        """The scripts of ours that Spack was started with, in their order."""
        return [Path(word).name for line in self.lines for word in line.split() if "/spack/inside/" in word]


def kill_all(agent: subprocess.Popen[bytes]) -> None:
    """Kill an agent, and all that it has started, as a node that goes down does."""
    below = psutil.Process(agent.pid).children(recursive=True)
    agent.kill()
    agent.wait(10)
    for process in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def cdash_faults(out: Path, name: str) -> list[str]:
    """Return the faults of a run's CDash documents, by our own check and, if they are available, by CDash's schemas."""
    (folder,) = out.glob(f"{name}-*/cdash")
    documents = sorted(folder.glob("*.xml"))
    assert {"Build.xml", "Notes.xml", "Upload.xml"} <= {path.name for path in documents}
    found = [f"{path.name}: {fault}" for path in documents for fault in check(path)]
    if (ROOT.parent / "shared" / "data" / "cdash" / "xsd").is_dir():
        found += [f"{path.name}: {fault}" for path in documents if (fault := cdash_schemas.fault(path.read_bytes()))]
    return found


def read_telemetry(out: Path, name: str) -> telemetry.Telemetry:
    """Return the telemetry of the only run of a package below an output folder."""
    (path,) = out.glob(f"{name}-*/telemetry.json")
    return telemetry.read(path)


def other_tree(folder: Path, mirror: Path, *, misc_cache: Path | None = None) -> Path:
    """Write a configuration scope with another install tree and one binary mirror, signatures checked; return it."""
    scope = folder / "other"
    scope.mkdir()
    config = {"config": {"install_tree": {"root": str(folder / "opt")}, "misc_cache": str(misc_cache or folder / "misc")}}
    (scope / "config.yaml").write_text(json.dumps(config))
    (scope / "mirrors.yaml").write_text(json.dumps({"mirrors:": {"farm": {"url": mirror.as_uri(), "signed": True}}}))
    return scope


def mirror_in_s3(folder: Path, url: str, server: Server, *, signed: bool = True) -> Path:
    """Write a scope with another install tree and the build cache in S3 as the only binary mirror; return it."""
    folder.mkdir(exist_ok=True)
    scope = other_tree(folder, folder)
    farm = {
        "url": url,
        "endpoint_url": server.url,
        "access_pair": {"id": "testing", "secret_variable": "MY_S3_SECRET"},
        "signed": signed,
    }
    (scope / "mirrors.yaml").write_text(json.dumps({"mirrors:": {"farm": farm}}))
    return scope


def assert_phases_are_the_run(document: telemetry.Telemetry) -> None:
    """Assert that the phases follow each other from the run's start to its end, and share out all that it used."""
    at = 0.0
    for phase in document.phases:
        assert abs(phase.start_seconds - at) < 1e-6, f"a gap before {phase.name}"
        at = phase.start_seconds + phase.wall_seconds
        assert phase.cpu_seconds is not None
        assert phase.cpu_seconds <= phase.wall_seconds * document.machine.cpus + 0.001, f"{phase.name}: {phase.cpu_seconds}"
    assert abs(at - document.totals.wall_seconds) < 1e-6
    assert abs(sum(phase.cpu_seconds or 0 for phase in document.phases) - document.totals.cpu_seconds) < 1e-6
