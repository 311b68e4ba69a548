"""A controller of the autoscaler as a process of its own, on the pool of a test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.labs.checkout import ROOT
from tests.labs.nodes.control_plane import free_port
from tests.labs.nodes.plugin import NodesLab

TICK_SECONDS = 0.5
PROGRAM = """
import sys
from pathlib import Path

from autoscaler.deciding.decide import decide
from autoscaler.service.run import run
from autoscaler.settings import read_settings

sys.exit(run(read_settings(Path(sys.argv[1])), decide))
"""


class Service:
    """One controller: a process of its own."""

    def __init__(
        self,
        farm: NodesLab,
        folder: Path,
        *,
        top: str = "",
        pool: str = "",
        service: str = "",
        user: str = "admin",
        namespace: str = "",
        tick_seconds: float = TICK_SECONDS,
        boot_seconds: float = 2,
        kubeconfig: Path | None = None,
        settled_seconds: float | None = None,
    ) -> None:
        """`kubeconfig`: instead of one that leads through what breaks calls. `settled_seconds`: until an outage is over."""
        self.farm, self.port = farm, free_port()
        number = len(list(folder.iterdir()))
        self.settings, self.log = folder / f"{number}.toml", folder / f"{number}.log"
        self.settings.write_text(f"""
tick_seconds = {tick_seconds}
{top}
[scale_in]
idle_seconds = 1
[[pools]]
name = "{farm.name}"
hand = "kwok"
boot_seconds = {boot_seconds}
most_nodes = 6
labels = {{farm = "{farm.name}"}}
{pool}
[[pools.types]]
name = "large"
cpu = "8"
memory = "32Gi"
price_per_hour = 1.0
[service]
kubeconfig = "{kubeconfig or farm.kubeconfig(user)}"
namespace = "{namespace or farm.name}"
listen = "127.0.0.1:{self.port}"
job_labels = {{farm = "{farm.name}"}}
{service}
""")
        settled = f"from autoscaler import outages\noutages.SETTLED_SECONDS = {settled_seconds}" if settled_seconds else ""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", settled + PROGRAM, str(self.settings)], cwd=ROOT, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """Return its log; each line is a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def did(self, action: str, result: str = "done") -> list[dict[str, Any]]:
        """Return the lines that were carried out so."""
        return [line for line in self.lines() if line.get("action") == action and line["result"] == result]

    def leads(self) -> bool:
        """Return whether it has said that it leads."""
        return any(line["message"] == "leading" for line in self.lines())

    def get(self, path: str) -> str:
        """Return what it serves."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
