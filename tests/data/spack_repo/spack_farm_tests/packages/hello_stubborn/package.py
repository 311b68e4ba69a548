from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloStubborn(Package):
    """Ignores TERM, starts a daemon that ignores it too, and sleeps."""

    homepage = "https://localhost/hello-stubborn"
    has_code = False
    version("1.0")
    phases = ["install"]

    def install(self, spec, prefix):
        sh = which("sh", required=True)
        # READY again and again: of two lines that come at once Spack's log writer holds the second back until more comes
        sh("-c", "trap '' TERM INT; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & while :; do echo READY; sleep 1; done")
