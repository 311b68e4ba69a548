"""Makes `environment/spack.lock` anew from `environment/spack.yaml` and this machine's tools: python -m tests.real.relock

To be run by hand, after a change of the environment or a new version of Spack or of the test machine; takes minutes.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from buildjob.paths import from_environment
from buildjob.spack.find import find
from tests.real.lab import ENVIRONMENT, RealLab
from tests.real.sources import mirror


def main() -> int:
    """Concretize a copy of the environment and bring its lock back."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-relock-") as folder:
        lab = RealLab(Path(folder), find("", os.environ, from_environment(os.environ)), sources=mirror(()))
        done = lab.stock_spack("-e", lab.environment_folder, "concretize", "--force", timeout=1800)
        sys.stdout.write(done.stdout + done.stderr)
        if done.returncode == 0:
            shutil.copy(lab.environment_folder / "spack.lock", ENVIRONMENT)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
