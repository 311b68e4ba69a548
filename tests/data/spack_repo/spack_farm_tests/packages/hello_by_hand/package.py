import os

from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloByHand(Package):
    """Its source must be downloaded by hand, as that of licensed software."""

    homepage = "https://localhost/hello-by-hand"
    url = f"file://{os.getcwd()}/hello-by-hand-1.0.tar"
    manual_download = True
    version("1.0", sha256="1" * 64)

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
