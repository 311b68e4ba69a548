"""The program `call.c`, which stands before `spack-farm` in the manager's image, compiled for tests."""

import subprocess
from pathlib import Path

from tests.labs.checkout import ROOT


def build(to: Path, program: Path) -> Path:
    """Compile it to stand before a program; return its path. Raises CalledProcessError."""
    argv = ["cc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", f'-DPROGRAM="{program}"', str(ROOT / "executor/call.c")]
    subprocess.run([*argv, "-o", str(to)], check=True)
    return to
