"""Clause: the agent holds at most 40 MiB while a build runs, so what measures it loads nothing heavy."""

import subprocess
import sys
from pathlib import Path

_HEAVY = {"asyncio", "requests", "boto3", "lxml", "kubernetes", "ssl", "http.client", "email", "multiprocessing"}


def test_measuring_loads_nothing_heavy() -> None:
    code = "import sys, buildjob.measure.observer; print(*sys.modules)"
    checkout = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True)
    assert not _HEAVY & set(done.stdout.split())
