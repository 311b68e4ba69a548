from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloBroken(Package):
    """Fails to compile, on purpose."""

    homepage = "https://localhost/hello-broken"
    url = "https://localhost/hello-broken-1.0.tar"  # never contacted: the source mirror comes first

    version("1.0", sha256="245d97d5dea278eb7b3bddf92c7fdbe77587ff5a75edb385ea23f983777bd199")

    depends_on("c", type="build")
    depends_on("gmake", type="build")
    depends_on("libhello", type=("build", "link"))

    phases = ["build", "install"]

    def build(self, spec, prefix):
        make()

    def install(self, spec, prefix):
        make(f"PREFIX={prefix}", "install")
