import os

from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloFromNowhere(Package):
    """Its source must be downloaded by hand, and the recipe does not say where from."""

    url = f"file://{os.getcwd()}/hello-from-nowhere-1.0.tar"
    manual_download = True
    version("1.0", sha256="1" * 64)

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
