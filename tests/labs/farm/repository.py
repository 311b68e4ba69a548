"""The bundled examples as a Git repository that jobs check out, and the keys of their payload that name it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.labs.checkout import ROOT


def publish_examples(repositories: Path, url: str) -> dict[str, Any]:
    """Make the bare repository grp/proj.git of the examples; return the payload's keys for a job on its main branch.

    An existing repository stays as it is: tests of other modules may run between those of one.
    """
    bare = repositories / "grp" / "proj.git"
    if not bare.exists():
        _make(bare, repositories / "work")
    sha = _git("-C", str(bare), "rev-parse", "main").strip()
    info = {
        "repo_url": f"{url}/grp/proj.git",
        "ref": "main",
        "ref_type": "branch",
        "sha": sha,
        "before_sha": "0" * 40,
        "refspecs": ["+refs/heads/main:refs/remotes/origin/main"],
        "depth": 1,
    }
    return {"git_info": info, "allow_git_fetch": True, "variables": {"GIT_STRATEGY": "fetch", "GIT_DEPTH": "1"}}


def _make(bare: Path, work: Path) -> None:
    shutil.copytree(ROOT / "examples", work / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    _git("init", "--quiet", str(work))
    _git("-C", str(work), "add", ".")
    _git("-C", str(work), "commit", "--quiet", "--message", "The examples of spack-farm")
    _git("clone", "--quiet", "--bare", str(work), str(bare))


def _git(*arguments: str) -> str:
    named = ["-c", "user.name=tester", "-c", "user.email=tester@localhost", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *named, *arguments], check=True, capture_output=True, text=True).stdout
