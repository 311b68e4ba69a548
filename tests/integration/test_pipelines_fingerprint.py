"""The fingerprint as a worker calls it: a process of its own, real S3 servers, one HEAD."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.labs.checkout import ROOT
from tests.labs.pipelines import put_index
from tests.labs.s3.relay import Fate, relay
from tests.labs.s3.server import Server

INSIDE = ROOT / "pipelines/inside"
COMMIT = "0123456789abcdef0123456789abcdef01234567\n"


class Farm:
    """A worker's machine with everything that a generation reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inside = folder / "run/inside"
        shutil.copytree(INSIDE, self.inside, ignore=shutil.ignore_patterns("__pycache__"))
        self.write("spack/bin/spack", "#!/bin/sh\n").chmod(0o755)
        self.write("spack/lib/spack/README", "")
        self.write("spack/.git/HEAD", COMMIT)
        self.write("spack/etc/spack/defaults/base/config.yaml", "config: {}\n")
        self.write("spack/etc/spack/repos.yaml", f"repos:\n  mine: {folder}/mine\n  local: $spack/../local  # not in Git\n")
        self.write("mine/.git/HEAD", COMMIT)
        self.write("local/packages/zlib/package.py", "class Zlib: pass\n")
        self.write("cache/package_repos/one/.git/HEAD", COMMIT)
        self.write("scope/packages.yaml", "packages: {}\n")
        self.write("shared/ci/ci.yaml", "ci: {}\n")
        self.write("elsewhere/unrelated.yaml", "a: 1\n")
        self.request: dict[str, Any] = {
            "files": {"spack.yaml": f"spack:\n  include:\n  - {folder}/shared/ci\n  mirrors: {{a: $BUILDCACHE}}\n"},
            "sizes": "{}",
        }
        self.variables = {
            "PATH": f"{folder}/spack/bin:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "SPACK_USER_CACHE_PATH": str(folder / "cache"),
            "SPACK_SYSTEM_CONFIG_PATH": str(folder / "machine"),
            "BUILDCACHE": "s3://bucket/one",
        }

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, str(self.inside / "fingerprint.py"), "-C", str(self.folder / "scope"), *words]
        return subprocess.run(
            argv,
            input=json.dumps(self.request),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.variables | variables,
        )

    def digest(self, **variables: str) -> str:
        done = self.run(**variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


CHANGES: dict[str, Callable[[Farm], object]] = {
    "the commit of Spack": lambda farm: farm.write("spack/.git/HEAD", COMMIT[::-1].strip() + "\n"),
    "a repository that Spack has cloned": lambda farm: farm.write(
        "cache/package_repos/one/.git/HEAD", COMMIT.replace("0", "1")
    ),
    "a repository that the configuration names": lambda farm: farm.write("mine/.git/HEAD", COMMIT.replace("0", "1")),
    "a recipe in no checkout": lambda farm: farm.write("local/packages/zlib/package.py", "class Zlib: changed = True\n"),
    "a new recipe in no checkout": lambda farm: farm.write("local/packages/new/package.py", ""),
    "the environment": lambda farm: farm.request["files"].update(
        {"spack.yaml": farm.request["files"]["spack.yaml"] + "  specs: [zlib]\n"}
    ),
    "its lock": lambda farm: farm.request["files"].update({"spack.lock": "{}"}),
    "what it includes": lambda farm: farm.write("shared/ci/ci.yaml", "ci: {target: gitlab}\n"),
    "Spack's configuration": lambda farm: farm.write("spack/etc/spack/defaults/base/config.yaml", "config: {a: 1}\n"),
    "a new file of it": lambda farm: farm.write("spack/etc/spack/concretizer.yaml", "concretizer: {}\n"),
    "the machine's configuration": lambda farm: farm.write("machine/packages.yaml", "packages: {}\n"),
    "the user's configuration": lambda farm: farm.write("home/.spack/packages.yaml", "packages: {}\n"),
    "a scope of -C": lambda farm: farm.write("scope/packages.yaml", "packages: {zlib: {}}\n"),
    "the size table": lambda farm: farm.request.update(sizes='{"version": 2}'),
    "a variable that an address names": lambda farm: farm.variables.update(BUILDCACHE="s3://bucket/two"),
    "an option": lambda farm: farm.request.update(max_jobs=100),
    "the generator": lambda farm: farm.write("run/inside/gitlab/needs.py", "# another version\n"),
}
OTHERS: dict[str, Callable[[Farm], object]] = {
    "a file elsewhere": lambda farm: farm.write("elsewhere/unrelated.yaml", "a: 2\n"),
    "another variable": lambda farm: farm.variables.update(CI_JOB_ID="12345"),
    "byte code of the generator": lambda farm: farm.write("run/inside/__pycache__/needs.cpython-311.pyc", "x"),
    "what Spack keeps": lambda farm: farm.write("cache/cache/indices/x.json", "{}"),
    "an installed package": lambda farm: farm.write("spack/opt/spack/zlib/file", ""),
    "the order of keys": lambda farm: setattr(farm, "request", dict(reversed(farm.request.items()))),
    "the same content again": lambda farm: farm.write("scope/packages.yaml", "packages: {}\n"),
}


def test_all_that_a_pipeline_depends_on_changes_it_and_nothing_else_does(farm: Farm) -> None:
    seen = {farm.digest(): "nothing"}
    for name, change in OTHERS.items():
        change(farm)
        assert farm.digest() in seen, name
    for name, change in CHANGES.items():
        change(farm)
        found = farm.digest()
        assert found not in seen, f"{name}: as after {seen.get(found)}"
        seen[found] = name


def test_the_index_in_s3_counts_by_one_signed_head(farm: Farm, s3: Server) -> None:
    requests: list[None] = []

    def count() -> Fate:
        requests.append(None)
        return "passed on"

    bucket = s3.bucket()
    farm.request["mirror"] = f"s3://{bucket}/some/cache"
    with relay(s3, count) as counted:
        farm.variables |= counted.environment
        without = farm.digest()
        put_index(s3, bucket, "some/cache", {})
        del requests[:]
        first = farm.digest()
        assert len(requests) == 1
        assert farm.digest() == first
        put_index(s3, bucket, "some/cache", {"a" * 32: {"spec": {"name": "zlib"}}})
        assert len({without, first, farm.digest()}) == 3
        if s3.name == "versitygw":  # moto checks no signature
            refused = farm.run(AWS_SECRET_ACCESS_KEY="wrong")
            assert (refused.returncode, refused.stdout) == (4, "")
            assert "HTTP 403" in refused.stderr
        without_key = farm.run(AWS_ACCESS_KEY_ID="")
        assert (without_key.returncode, without_key.stdout) == (2, "")
        assert "AWS_ACCESS_KEY_ID" in without_key.stderr


@pytest.mark.parametrize(
    ("mirror", "code", "words"),
    [
        ("http://127.0.0.1:1/cache", 4, "Connection refused"),
        ("s3://bucket/cache", 4, "Connection refused"),
        ("http://[::1/cache", 2, "can't be used"),
        ("http://127.0.0.1:99999999/cache", 2, "can't be used"),
        ("http://127.0.0.1:x/cache", 2, "can't be used"),
        ("gopher://host/cache", 2, "only file://"),
    ],
)
def test_a_mirror_that_does_not_answer_has_no_fingerprint(farm: Farm, mirror: str, code: int, words: str) -> None:
    farm.request["mirror"] = mirror
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "S3_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = farm.run(**keys)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_spack_or_a_scope_that_is_named_there_is_none(farm: Farm) -> None:
    done = farm.run(PATH="/nowhere")
    assert (done.returncode, done.stdout) == (3, "")
    assert "SPACK_ROOT" in done.stderr
    assert farm.digest(PATH="/nowhere", SPACK_ROOT=str(farm.folder / "spack")) == farm.digest()
    done = farm.run("-C", "/nowhere/at/all")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere/at/all" in done.stderr


def cpu_seconds(act: Callable[[], object]) -> float:
    """Return the least CPU time that something took in ten tries."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        act()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(10))


def test_it_takes_50_milliseconds_with_its_head(farm: Farm, moto: Server) -> None:
    bucket = moto.bucket()
    put_index(moto, bucket, "cache", {})
    farm.request["mirror"] = f"s3://{bucket}/cache"
    farm.variables |= moto.environment
    farm.digest()  # byte code
    bare = cpu_seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    # on a quiet machine Python takes 10 ms to start
    assert cpu_seconds(farm.digest) <= 0.05 * max(1, bare / 0.010)
