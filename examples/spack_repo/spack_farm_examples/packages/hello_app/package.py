from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloApp(Package):
    """A program that uses libhello."""

    homepage = "https://localhost/hello-app"
    url = "https://localhost/hello-app-1.0.tar"  # never contacted: the source mirror comes first

    version("1.0", sha256="d5a59468f1fcf7941ad2386f543d3ecbb00f516d6abd80a22440365226eed936")

    depends_on("c", type="build")
    depends_on("gmake", type="build")
    depends_on("libhello", type=("build", "link"))

    phases = ["build", "install"]

    def build(self, spec, prefix):
        make()

    def install(self, spec, prefix):
        make(f"PREFIX={prefix}", "install")
