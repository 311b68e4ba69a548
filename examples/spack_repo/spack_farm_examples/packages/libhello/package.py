from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class Libhello(Package):
    """A tiny C library."""

    homepage = "https://localhost/libhello"
    url = "https://localhost/libhello-1.0.tar"  # never contacted: the source mirror comes first

    version("1.0", sha256="294754ce7b4e3128b8b7240db1e4db58d066b849c70e81e6e7a0d133fca21375")

    depends_on("c", type="build")
    depends_on("gmake", type="build")

    phases = ["build", "install"]

    def build(self, spec, prefix):
        make()

    def install(self, spec, prefix):
        make(f"PREFIX={prefix}", "install")
