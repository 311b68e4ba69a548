import glob
import os

from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *

HUNTED = "planted-"


def hunt(where):
    """Say which planted values can be found in the environments of the processes that this user may read."""
    found = {value for value in os.environ.values() if HUNTED in value}
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                content = file.read().decode("utf-8", "replace")
        except OSError:
            continue
        found |= {word for word in content.split("\0") if HUNTED in word}
    for word in sorted(found):
        print(f"{where} HUNTER FOUND {word}", flush=True)
    print(f"{where} HUNTER DONE", flush=True)


hunt("recipe")


class HelloHunter(Package):
    """Looks for secrets: in its recipe, and while it is built."""

    homepage = "https://localhost/hello-hunter"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        hunt("install")
        which("sh", required=True)("-c", "env; cat spack-build-env.txt ../spack-build-env.txt 2>/dev/null; true")
        mkdirp(prefix.lib)
        with open(prefix.lib.done, "w") as file:
            file.write("done\n")
