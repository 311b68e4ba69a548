from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloNeedsUnfetchable(Package):
    """Needs a package that can't be fetched."""

    homepage = "https://localhost/hello-needs-unfetchable"
    has_code = False
    version("1.0")
    depends_on("hello-unfetchable", type="link")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
