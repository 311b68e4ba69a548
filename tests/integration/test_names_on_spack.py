"""Names that are made from a spec: Spack finds what we publish, whatever a version looks like."""

import json
import subprocess
from pathlib import Path

import pytest

from buildjob.buildcache import layout
from tests.labs.spack.lab import SpackLab, other_tree, read_telemetry

pytestmark = pytest.mark.spack

HOSTILE_VERSIONS = [
    "1.0", "main", "develop", "git.main=1.0", "git.feature/foo=1.0", "git.feature/a/b-c.d_e=2.0", "git.v1.0+patch=1.0",
    f"git.{'a1' * 20}=develop", f"{'0f' * 20}=1.2", "git.a..b=1", "../../etc/passwd", "..", ".", "1.0~rc1", "1.0+deb",
    "1:2.0", "1.0%gcc", "a b", "ä.ö", "日本", "-1", "1.0\n", "1\t0", "x" * 200, "1.0?q#f", "a\\b", "1.0@2", "'1'", "$HOME",
    "1.0 ^z",
]  # fmt: skip
SCRIPT = """
import json, sys
import spack.spec, spack.url_buildcache, spack.version
from spack.version.version_types import GitVersion, StandardVersion, VersionList

def key(text):
    spec = spack.spec.Spec("zlib")
    is_git = text.startswith("git.") or "=" in text
    version = GitVersion(text) if is_git else StandardVersion(text, ((), ()), ())
    spec.versions = VersionList()
    spec.versions.versions = [version]
    spec._mark_concrete()
    spec._hash = "a" * 32
    assert str(spec.version) == text, (str(spec.version), text)
    return spack.url_buildcache.URLBuildcacheEntry.get_manifest_url(spec, "file:///mirror")

print("ANSWER" + json.dumps([key(text) for text in json.loads(sys.argv[1])]))
"""


def test_manifests_lie_where_spack_looks_for_them(lab: SpackLab, tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(SCRIPT)
    done = lab.stock_spack("python", tmp_path / "ask.py", json.dumps(HOSTILE_VERSIONS))
    assert done.returncode == 0, done.stdout + done.stderr
    urls = json.loads(done.stdout.partition("ANSWER")[2])
    ours = [f"file:///mirror/{layout.manifest_key('zlib', version, 'a' * 32)}" for version in HOSTILE_VERSIONS]
    assert dict(zip(HOSTILE_VERSIONS, ours, strict=True)) == dict(zip(HOSTILE_VERSIONS, urls, strict=True))


def repository(folder: Path) -> str:
    """Make a git repository with a branch whose name has a slash; return its commit."""
    folder.mkdir()

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")
        argv = ["git", "-C", str(folder), *identity, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (folder / "content").write_text("from git\n")
    git("add", "content")
    git("commit", "-q", "-m", "first")
    git("tag", "v1.0")
    git("branch", "feature/foo")
    return git("rev-parse", "HEAD")


def test_versions_from_git_are_built_published_found_again_and_installed_by_stock_spack(
    lab: SpackLab, tmp_path: Path
) -> None:
    commit = repository(tmp_path / "repository")
    variables = {"HELLO_GIT": (tmp_path / "repository").as_uri()}
    specs = ["hello-git@git.feature/foo=1.0", f"hello-git@git.{commit}=develop"]
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / "concretizer.yaml").write_text("concretizer: {unify: false}\n")
    mirror = tmp_path / "mirror"
    unsigned = ("--mirror", mirror, "--unsigned", "-C", tmp_path / "several")
    first = lab.build(*specs, *unsigned, "--out", tmp_path / "1", environment=variables)
    assert first.returncode == 0, first.stdout + first.stderr
    folders = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "1").iterdir() if path.is_dir())
    assert folders == [f"hello-git-{each}" for each in (f"git.{commit}_develop", "git.feature_foo_1.0")]
    lab.forget("hello-git")
    again = lab.build(*specs, *unsigned, "--out", tmp_path / "2", environment=variables)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("already in the build cache") == len(specs), again.stdout
    assert read_telemetry(tmp_path / "2", "hello-git-git.feature_foo_1.0").spec.version == "git.feature/foo=1.0"
    scope = other_tree(tmp_path, mirror)
    (scope / "mirrors.yaml").write_text(json.dumps({"mirrors:": {"farm": {"url": mirror.as_uri(), "signed": False}}}))
    files = sorted((tmp_path / "1").glob("*/spec.json"))
    stock = lab.stock_spack("install", "--cache-only", *files, scopes=[tmp_path / "several", scope], environment=variables)
    assert stock.returncode == 0, stock.stdout + stock.stderr
    assert len(list((tmp_path / "opt").glob("*/hello-git-*/share/content"))) == len(specs)


def test_a_branch_that_the_server_does_not_have_is_not_tried_again(lab: SpackLab, tmp_path: Path) -> None:
    repository(tmp_path / "repository")
    variables = {"HELLO_GIT": (tmp_path / "repository").as_uri()}
    done = lab.build("hello-git@git.nosuch=1.0", "--out", tmp_path / "out", environment=variables)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "no such branch or tag" in " ".join(done.stdout.split())
    assert "A retry will hardly help" in done.stdout
