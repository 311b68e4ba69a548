from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloFiller(Package):
    """Fills the disk that it is installed to."""

    homepage = "https://localhost/hello-filler"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
        which("dd", required=True)("if=/dev/zero", f"of={prefix.lib}/zeros", "bs=1M", "count=100000")
