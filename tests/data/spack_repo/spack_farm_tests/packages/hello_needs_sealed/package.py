from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloNeedsSealed(Package):
    """May be redistributed, but needs at run time what must not be."""

    homepage = "https://localhost/hello-needs-sealed"
    has_code = False
    version("1.0")
    depends_on("hello-sealed", type=("link", "run"))

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
