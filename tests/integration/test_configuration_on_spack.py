"""Configuration that Spack can't use: what it includes is missing or does not answer, and what it quotes may be secret."""

import json
from pathlib import Path

import pytest

from tests.labs.spack.lab import SpackLab
from tests.labs.spack.project import Project

pytestmark = pytest.mark.spack

_SHA = "0" * 64
_INCLUDES: dict[str, tuple[int, dict[str, object] | str]] = {
    "a server that does not listen": (4, {"path": "http://127.0.0.1:9/x.yaml", "sha256": _SHA}),
    "a host name that does not exist": (4, {"path": "http://no-such-host.invalid/x.yaml", "sha256": _SHA}),
    "a git server that does not listen": (4, {"git": "http://127.0.0.1:9/x.git", "branch": "main", "paths": ["x.yaml"]}),
    "a file that does not exist": (2, "/no/such/x.yaml"),
    "not an include": (2, {"pth": "x.yaml"}),
}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *(("scope", name) for name in _INCLUDES),
        ("environment", "a git server that does not listen"),
        ("environment", "a file that does not exist"),
    ],
)
def test_what_is_included_and_cannot_be_read(lab: SpackLab, tmp_path: Path, place: str, name: str) -> None:
    """In a scope Spack itself does not start; in an environment it says so when it is asked."""
    code, include = _INCLUDES[name]
    if place == "scope":
        (tmp_path / "include.yaml").write_text(json.dumps({"include": [include]}))
        done = lab.build("-C", tmp_path, "hello-app", "--out", tmp_path / "out")
    else:
        project = Project(lab, tmp_path)
        project.write(specs=["hello-app"], include=[include])
        (tmp_path / "spack.lock").write_text("{}")
        done = project.build(tmp_path, "--out", tmp_path / "out")
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    named = include if isinstance(include, str) else include.get("path", include.get("git", "pth"))
    assert str(named) in line
    assert not (tmp_path / "out").exists()


_MIRRORS = {
    "an unknown key beside them": ({"fetch": {"url": "s3://b", "access_pair": ["ID", "S3CRET"], "typo": 1}}, "'typo'"),
    "another form": ({"url": "s3://b", "access_pair": ["ID", "S3CRET", "more"]}, "access_pair"),
    "where they do not belong": ({"url": "s3://b", "access_token": "S3CRET"}, "'access_token'"),
    "instead of a flag": ({"url": "s3://b", "signed": "S3CRET"}, "signed"),
    "in the address": ({"url": "https://me:S3CRET@host/", "signed": "maybe"}, "signed"),
    "not a mirror": (["S3CRET"], "mirrors:m"),
}


@pytest.mark.parametrize(("mirror", "named"), _MIRRORS.values(), ids=_MIRRORS)
def test_credentials_in_mirrors_that_spack_rejects_are_not_printed(
    lab: SpackLab, tmp_path: Path, mirror: object, named: str
) -> None:
    (tmp_path / "mirrors.yaml").write_text(json.dumps({"mirrors": {"m": mirror}}))
    done = lab.build("-C", tmp_path, "hello-app", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "S3CRET" not in done.stdout + done.stderr
    assert f"{tmp_path}/mirrors.yaml:1: mirrors:m" in done.stderr
    assert named in done.stderr


def test_a_spack_that_is_broken_itself_stays_unusable(lab: SpackLab, tmp_path: Path) -> None:
    broken = tmp_path / "spack"
    (broken / "bin").mkdir(parents=True)
    (broken / "lib/spack/spack").mkdir(parents=True)
    (broken / "lib/spack/spack/__init__.py").write_text('spack_version = __version__ = "1.1.0"\n')
    program = broken / "bin/spack"
    program.write_text(
        '#!/bin/sh\n[ "$*" = --version ] && exec echo 1.1.0\necho "==> Error: cannot import name x"; exit 1\n'
    )
    program.chmod(0o755)
    done = lab.build("hello-app", "--out", tmp_path / "out", environment={"SPACK_ROOT": str(broken)})
    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot import name x" in done.stderr
