"""Which packages the last commit of the repositories changed, and whether it changed the stack itself.

As `spack ci generate` decides it (1.1, lib/spack/spack/ci/__init__.py: `stack_changed`, `get_unaffected_pruners`).
"""

import os
import subprocess

import spack.repo

_CI_FILE = ".gitlab-ci.yml"


def changed_packages():
    """The packages that were added, changed or removed between HEAD^ and HEAD in all repositories that are checkouts."""
    changed = set()
    for repo in spack.repo.PATH.repos:
        if changed_files(repo.root) is not None:
            changed.update(spack.repo.get_all_package_diffs("ARC", repo, rev1="HEAD^", rev2="HEAD"))
    return changed


def stack_changed(manifest_path):
    """Whether the environment's folder, or a `.gitlab-ci.yml`, changed in the last commit of its repository."""
    folder = os.path.dirname(os.path.realpath(manifest_path))
    root = git(folder, "rev-parse", "--show-toplevel")
    changed = changed_files(folder)
    if root is None or changed is None:
        return False
    inside = os.path.relpath(folder, os.path.realpath(root.strip()))
    return any(os.path.basename(path) == _CI_FILE or inside == "." or path.startswith(inside + "/") for path in changed)


def changed_files(folder):
    """The files that the last commit changed; None if that can't be known, as in a shallow clone."""
    output = git(folder, "diff", "-z", "--name-only", "HEAD^", "HEAD")
    return None if output is None else [path for path in output.split("\0") if path]


def git(folder, *words):
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
