from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloLiar(Package):
    """Its build prints what Spack prints when a source can't be fetched."""

    homepage = "https://localhost/hello-liar"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        print("==> Installing hello-liar-1.0 [1/1]")
        print("==> Error: FetchError: All fetchers failed for hello-liar", flush=True)
        Executable("false")()
