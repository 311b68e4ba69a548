"""Real packages on real Spack: built one by one from a committed lock, and installed again by stock Spack."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from buildjob.spack.find import SpackInstallation
from buildjob.telemetry import Telemetry
from tests.labs.checkout import ROOT
from tests.labs.real_packages.lab import REPOSITORY, RealLab, differences
from tests.labs.real_packages.sources import FetchError, mirror
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import other_tree, read_telemetry

# The first test waits for all the builds: a minute, on a new machine two more for what Spack derives from its recipes.
pytestmark = [pytest.mark.spack, pytest.mark.real, pytest.mark.timeout(1200)]

# package -> the phases that its build system has; Spack's own start and staging come before them, its end after them
PHASES = {
    "bzip2": ["install"],
    "lz4": ["edit", "build", "install"],
    "jansson": ["cmake", "build", "install"],
    "libsigsegv": ["autoreconf", "configure", "build", "install"],
    "py-six": ["install"],
}
BUILD_DEPENDENCIES = ["py-pip", "py-setuptools", "py-wheel"]


class Farm:
    """The real packages, built, signed and published once."""

    def __init__(self, lab: RealLab, folder: Path, key: Key) -> None:
        self.lab, self.key = lab, key
        self.mirror, self.out = folder / "mirror", folder / "out"
        for name in PHASES:
            done = lab.build(
                lab.environment_folder,
                f"--hash={lab.hash_of(name)}",
                f"--mirror={self.mirror}",
                f"--signing-key-file={key.secret}",
                f"--out={self.out}",
                timeout=900,
            )
            assert done.returncode == 0, done.stdout + done.stderr

    def telemetry(self, package: str) -> Telemetry:
        """What a package's run measured."""
        return read_telemetry(self.out, package)

    def install(self, packages: Sequence[str], *, mirror: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        """Let stock Spack, which trusts the farm's key, install from a mirror only, into a tree below `folder`."""
        trusted = {"SPACK_GNUPGHOME": str(folder / "g")}
        assert self.lab.stock_spack("gpg", "trust", self.key.public, environment=trusted).returncode == 0
        return self.lab.stock_spack(
            "-e",
            self.lab.environment_folder,
            "install",
            "--cache-only",
            "--only-concrete",
            *packages,
            scopes=[other_tree(folder, mirror, misc_cache=self.lab.misc_cache)],
            environment=trusted,
        )


@pytest.fixture(scope="module")
def farm(spack: SpackInstallation, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    """The farm, or a skip that says what is missing."""
    if not (spack.root.parent / REPOSITORY).is_dir():
        pytest.skip(f"no spack-packages beside {spack.root}; scripts/get-spack puts both into the cache")
    if found := differences():
        pytest.skip("real packages: " + "; ".join(found))
    try:
        sources = mirror([*PHASES, *BUILD_DEPENDENCIES])
    except FetchError as error:
        pytest.skip(f"real packages: {error}")
    folder = tmp_path_factory.mktemp("real")
    return Farm(RealLab(folder, spack, sources=sources), folder, Key(tmp_path_factory.mktemp("k")))


@pytest.mark.parametrize("package", PHASES)
def test_a_real_package_is_built_and_measured_phase_by_phase(farm: Farm, package: str) -> None:
    document = farm.telemetry(package)
    assert document.complete
    assert document.outcome == "built"
    assert document.publish
    assert document.publish.state == "published"
    assert [phase.name for phase in document.phases] == ["spack-start", "stage", *PHASES[package], "spack-end"]
    assert sum(phase.wall_seconds for phase in document.phases) == pytest.approx(document.totals.wall_seconds)
    cpu = [phase.cpu_seconds for phase in document.phases if phase.cpu_seconds is not None]
    assert 0 < sum(cpu) == pytest.approx(document.totals.cpu_seconds)
    peaks = [phase.memory_working_set_peak_bytes or 0 for phase in document.phases]
    total_peak = document.totals.memory_working_set_peak_bytes or 0
    assert 10 << 20 < max(peaks) <= total_peak


def test_what_a_package_needs_is_built_once_with_a_run_of_its_own(farm: Farm) -> None:
    needed = {"compiler-wrapper", "gcc-runtime", "python-venv", *BUILD_DEPENDENCIES}
    for name in needed:
        assert farm.telemetry(name).outcome == "built"
    assert len(list(farm.out.glob("*/telemetry.json"))) == len(needed) + len(PHASES)


def test_stock_spack_installs_the_real_packages_signature_checked(farm: Farm, tmp_path: Path) -> None:
    installed = farm.install(list(PHASES), mirror=farm.mirror, folder=tmp_path)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert installed.stderr.count("Good signature") >= len(PHASES)
    trees = {name: next((tmp_path / "opt").glob(f"*/{name}-[0-9]*")) for name in PHASES}
    times = json.loads((trees["jansson"] / ".spack" / "install_times.json").read_bytes())
    assert times["cache"] is True, "nothing was built again"
    squeezed = subprocess.run([trees["bzip2"] / "bin" / "bzip2"], input=b"real" * 999, capture_output=True, check=True)
    again = subprocess.run([trees["bzip2"] / "bin" / "bunzip2"], input=squeezed.stdout, capture_output=True, check=True)
    assert again.stdout == b"real" * 999
    (six,) = trees["py-six"].glob("lib/python3*/site-packages")
    said = subprocess.run(
        ["/usr/bin/python3", "-c", "import six; print(six.__version__, six.__file__)"],
        env={"PYTHONPATH": str(six)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"1.17.0 {six}/six.py\n"


def test_stock_spack_refuses_real_packages_that_were_tampered_with(farm: Farm, tmp_path: Path) -> None:
    mirror = shutil.copytree(farm.mirror, tmp_path / "mirror")
    (manifest,) = mirror.glob("v3/manifests/spec/lz4/*.json")
    manifest.write_text(re.sub(r'("contentLength":)\d', r"\g<1>9", manifest.read_text(), count=1))
    refused = farm.install(["lz4"], mirror=mirror, folder=tmp_path)
    assert refused.returncode == 1
    assert "BAD signature" in refused.stderr
    assert not list((tmp_path / "opt").glob("*/lz4-*/bin"))


def test_the_proof_on_real_packages_writes_its_table(farm: Farm, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = subprocess.run(
        [ROOT / "scripts" / "prove", "real-packages", "--only", "compiler-wrapper", "--page", page],
        env=dict(os.environ) | {"SPACK_ROOT": str(farm.lab.spack.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert re.search(r"^\| compiler-wrapper@1\.0 \| spack-start \| \d+\.\d \| \d+\.\d \| \d+ \|  \|$", text, re.MULTILINE)
    assert re.search(r"^\|  \| \*\*total\*\* \| .* \| [1-9]\d* \|$", text, re.MULTILINE)
