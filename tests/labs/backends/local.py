"""Our driver on its backend `local`: scripts as plain processes, without any cluster."""

import sys
from pathlib import Path
from typing import Any

from tests.fakes.runner import Runner
from tests.labs.backends.lab import ContractLab
from tests.labs.checkout import ROOT


def lab_in(folder: Path) -> ContractLab:
    """Return a driver of this backend; its jobs work below a folder."""

    def make(kubernetes: str = "", top: str = "", environment: dict[str, str] | None = None) -> Runner:
        path = folder / "settings.toml"
        folders = f'builds_dir = "{folder}/builds"\ncache_dir = "{folder}/cache"\n'
        path.write_text(f'backend = "local"\n{folders}{top}\n[kubernetes]\n{kubernetes}\n')
        driver = [sys.executable, "-m", "executor"]
        return Runner(driver, ["--config", str(path)], environment={"PYTHONPATH": str(ROOT)} | (environment or {}))

    def no_pod(job_id: int) -> Any:
        raise AssertionError(job_id)

    return ContractLab(runner=make, evict=no_pod, remove=no_pod, phases=no_pod)
