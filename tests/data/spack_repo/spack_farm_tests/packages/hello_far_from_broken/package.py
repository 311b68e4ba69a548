from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloFarFromBroken(Package):
    """Needs a package that needs one that does not compile."""

    homepage = "https://localhost/hello-far-from-broken"
    has_code = False
    version("1.0")
    depends_on("hello-needs-broken", type="link")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
