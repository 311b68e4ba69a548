import os

from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloGit(Package):
    """Comes from the git repository `$HELLO_GIT`, at any of its branches, tags and commits."""

    homepage = "https://localhost/hello-git"
    git = os.environ.get("HELLO_GIT", "file:///nowhere/hello-git")
    version("develop", branch="main")
    version("1.0", tag="v1.0")

    def install(self, spec, prefix):
        mkdirp(prefix.share)
        install("content", prefix.share)
