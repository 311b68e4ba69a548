import os
import time

from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloTested(Package):
    """Has stand-alone tests: one that passes, one that fails with text that XML cannot hold as it is."""

    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
        with open(join_path(prefix.bin, "say"), "w") as file:
            file.write("#!/bin/sh\necho \"$@\"\n")
        set_executable(join_path(prefix.bin, "say"))

    def test_speaks(self):
        """the program speaks"""
        print(which(self.prefix.bin.say)("a < b & c", output=str))

    def test_is_broken(self):
        """the program is broken"""
        if os.environ.get("HELLO_HANGS"):
            time.sleep(600)
        print("before \x01 <broken>")
        which("false")()
