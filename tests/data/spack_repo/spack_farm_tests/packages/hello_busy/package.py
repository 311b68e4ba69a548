from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloBusy(Package):
    """Keeps compilers busy for some CPU-seconds, a few at once, like a package of middling size."""

    homepage = "https://localhost/hello-busy"
    has_code = False
    version("1.0")
    variant("files", default="40", values=("8", "40"), description="how many sources")
    phases = ["configure", "build", "install"]

    def configure(self, spec, prefix):
        count = int(spec.variants["files"].value)
        for number in range(count):
            body = "".join(f"int f{number}_{i}(int x) {{ return x * {i} + f(x); }}\n" for i in range(4000))
            with open(f"file{number}.c", "w") as file:
                file.write("int f(int);\n" + body)
        with open("Makefile", "w") as file:
            file.write(f"all: {' '.join(f'file{number}.o' for number in range(count))}\n")

    def build(self, spec, prefix):
        which("make", required=True)(f"-j{make_jobs}", "CFLAGS=-O1", "CC=gcc")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
        install("file0.o", prefix.lib)
