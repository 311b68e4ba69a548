from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloHungry(Package):
    """Compiles a source that needs hundreds of megabytes of memory."""

    homepage = "https://localhost/hello-hungry"
    has_code = False
    version("1.0")
    phases = ["build", "install"]

    def build(self, spec, prefix):
        with open("big.c", "w") as file:
            file.write("int big[] = {\n" + "1,\n" * 8_000_000 + "};\n")
        which("gcc", required=True)("-c", "big.c")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
        install("big.o", prefix.lib)
