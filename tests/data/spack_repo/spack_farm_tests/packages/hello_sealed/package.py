from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloSealed(Package):
    """Its binary must not be redistributed, unless it is open."""

    homepage = "https://localhost/hello-sealed"
    has_code = False
    version("1.0")
    variant("open", default=False)
    redistribute(binary=False, when="~open")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
