import os
import time

from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloGated(Package):
    """Is built only when the file `$HELLO_GATE` appears; the word in it says how the build ends."""

    homepage = "https://localhost/hello-gated"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        gate = os.environ["HELLO_GATE"]
        with open(f"{gate}.reached", "w"):
            pass
        while not os.path.exists(gate):
            time.sleep(0.05)
        with open(gate) as file:
            if file.read().strip() == "fail":
                raise InstallError("the gate says that this build fails")
        mkdirp(prefix.lib)
        with open(prefix.lib.gate, "w") as file:
            file.write(gate)
