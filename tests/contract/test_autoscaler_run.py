"""`autoscaler run --once` without an API server ends, and one line says what hindered it."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.labs.checkout import ROOT

PROGRAM = """
import sys

from autoscaler.__main__ import main
from autoscaler.service import run

run._ONCE_SECONDS = 0.5
sys.exit(main(["run", "--once", "--settings", sys.argv[1]]))
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: a, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: a, user: {{}}}}]
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
current-context: a
"""


def test_once_ends_without_an_api_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings, kubeconfig = tmp_path / "farm.toml", tmp_path / "kubeconfig"
    settings.write_text(f'[service]\nkubeconfig = "{kubeconfig}"\nlisten = ""\n')
    kubeconfig.write_text(KUBECONFIG.format(port=port))
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, settings], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("spack-farm autoscaler run: nothing was carried out within ")
    assert "the API server does not answer" in last
    assert f"port={port}" in last
