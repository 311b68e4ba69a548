from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloNeedsBroken(Package):
    """Needs a package that does not compile."""

    homepage = "https://localhost/hello-needs-broken"
    has_code = False
    version("1.0")
    depends_on("hello-broken", type="link")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
