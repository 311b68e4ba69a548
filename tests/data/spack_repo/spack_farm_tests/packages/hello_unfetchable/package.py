from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloUnfetchable(Package):
    """Its source is nowhere."""

    homepage = "https://localhost/hello-unfetchable"
    url = "file:///nowhere/hello-unfetchable-1.0.tar"
    version("1.0", sha256="0" * 64)

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
