"""How the sources of real packages come onto a machine: by its own clients, once, and only if they are the right ones."""

import shutil
from pathlib import Path

import pytest

from tests.labs.real_packages.lab import differences
from tests.labs.real_packages.sources import SOURCES, FetchError, mirror, place

BZIP2 = next(source for source in SOURCES if source.package == "bzip2")


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_warm_cache_starts_no_client(tmp_path: Path) -> None:
    for source in SOURCES:
        path = place(source, tmp_path / "spack-farm" / "sources")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mirror([source.package for source in SOURCES], {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/nowhere"})


def test_a_package_without_sources_fetches_nothing(tmp_path: Path) -> None:
    folder = mirror(["gcc-runtime"], {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/nowhere"})
    assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt-get is not on this machine")
def test_a_file_with_another_digest_never_enters_the_cache(tmp_path: Path) -> None:
    wrong = tmp_path / "debian" / BZIP2.folder / BZIP2.file
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"not bzip2")
    program(tmp_path / "bin", "apt-get", f"echo file://{tmp_path}/debian/")
    with pytest.raises(
        FetchError, match=r"could not fetch bzip2_1\.0\.8\.orig\.tar\.gz: its sha256 is [0-9a-f]{64}, not ab5a"
    ):
        mirror(["bzip2"], {"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert not place(BZIP2, tmp_path / "spack-farm" / "sources").exists()


def test_a_fetch_that_fails_names_the_file_and_the_clients_last_words(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}
    with pytest.raises(FetchError, match=r"could not fetch six-1\.17\.0\.tar\.gz: .*No matching distribution"):
        mirror(["py-six"], environment)


def test_a_machine_without_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"could not fetch bzip2.*No such file.*apt-get"):
        mirror(["bzip2"], {"XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)})


def test_a_machine_that_the_lock_does_not_fit_is_told_with_both_versions() -> None:
    debian_12 = {
        "cmake": "3.25.1 below /usr",
        "diffutils": "3.8 below /usr",
        "gcc": "12.2.0 below /usr",
        "glibc": "2.36 below /usr",
        "gmake": "4.3 below /usr",
        "pkgconf": "1.8.1 below /usr",
        "processor": "x86_64",
        "python": "3.11.2 below /usr",
        "system": "debian12",
    }
    assert differences(debian_12) == []
    other = {name: version for name, version in debian_12.items() if name != "cmake"} | {"gcc": "14.2.0 below /usr"}
    assert differences(other) == [
        "the lock was made with cmake 3.25.1 below /usr, this machine has none",
        "the lock was made with gcc 12.2.0 below /usr, this machine has 14.2.0 below /usr",
    ]
