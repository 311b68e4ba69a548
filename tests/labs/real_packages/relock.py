"""Makes `spack.lock` of an environment beside this file anew from its `spack.yaml` and this machine's tools.

Run `python -m tests.labs.real_packages.relock [environment|many]` by hand, after a change of the environment or a new
version of Spack or of the test machine; it takes minutes.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from buildjob.paths import from_environment
from buildjob.spack.find import find
from tests.labs.real_packages.lab import ENVIRONMENT, RealLab
from tests.labs.real_packages.sources import mirror


def main() -> int:
    """Concretize a copy of the environment and bring its lock back."""
    environment = ENVIRONMENT.with_name(*sys.argv[1:] or (ENVIRONMENT.name,))
    with tempfile.TemporaryDirectory(prefix="spack-farm-relock-") as folder:
        lab = RealLab(
            Path(folder), find("", os.environ, from_environment(os.environ)), sources=mirror(()), environment=environment
        )
        done = lab.stock_spack("-e", lab.environment_folder, "concretize", "--force", timeout=1800)
        sys.stdout.write(done.stdout + done.stderr)
        if done.returncode == 0:
            shutil.copy(lab.environment_folder / "spack.lock", environment)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
