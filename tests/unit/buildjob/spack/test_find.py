"""The Spack that is used: `--spack`, `$SPACK_ROOT`, PATH, the cache, in this order."""

from pathlib import Path

import pytest

from buildjob.errors import SpackError
from buildjob.paths import Paths, from_environment
from buildjob.spack.find import PINNED, find


def checkout(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "spack").mkdir(parents=True)
    program = folder / "bin" / "spack"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return from_environment({"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")})


def test_the_order_of_the_search(tmp_path: Path, paths: Paths) -> None:
    named, root, on_path = (checkout(tmp_path / name) for name in ("named", "root", "path"))
    cached = paths.cache / "spack" / PINNED
    checkout(cached / "spack")
    (cached / "complete").touch()
    everything = {"SPACK_ROOT": str(root), "PATH": str(on_path / "bin")}
    assert find(str(named), everything, paths).root == named
    assert find(str(named / "bin" / "spack"), everything, paths).root == named
    assert find("", everything, paths).root == root
    assert find("", {"PATH": str(on_path / "bin")}, paths).root == on_path
    assert find("", {"PATH": "/nonexistent"}, paths).root == cached / "spack"


def test_the_cached_spack_runs_with_its_own_python_unless_one_is_named(tmp_path: Path, paths: Paths) -> None:
    cached = paths.cache / "spack" / PINNED
    checkout(cached / "spack")
    (cached / "complete").touch()
    found = find("", {"PATH": ""}, paths)
    assert found.python == cached / "venv" / "bin" / "python"
    assert found.tools == cached / "tools"
    assert find("", {"PATH": "", "SPACK_PYTHON": "/usr/bin/python3"}, paths).python is None
    assert find(str(checkout(tmp_path / "other")), {}, paths).python is None


def test_a_cache_that_is_not_complete_is_not_used(paths: Paths) -> None:
    checkout(paths.cache / "spack" / PINNED / "spack")
    with pytest.raises(SpackError, match="no Spack found"):
        find("", {"PATH": ""}, paths)


@pytest.mark.parametrize("place", ["absent", "empty"])
def test_a_name_of_something_else_is_rejected(tmp_path: Path, paths: Paths, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpackError, match="not a Spack"):
        find(str(tmp_path / place), {"PATH": ""}, paths)


def test_relative_xdg_folders_are_ignored_as_the_specification_asks() -> None:
    found = from_environment({"HOME": "/home/me", "XDG_CACHE_HOME": "relative", "XDG_STATE_HOME": "/state"})
    assert found.cache == Path("/home/me/.cache/spack-farm")
    assert found.state == Path("/state/spack-farm")
