"""Clause: house style §6, §8: what each of the driver's verbs loads. Lists do not flake; milliseconds do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from executor.attempt import Attempt, save_attempt
from executor.credentials import Credentials, Source, save

CHECKOUT = Path(__file__).resolve().parents[2]
NEVER = {"asyncio", "requests", "urllib3", "boto3", "lxml", "yaml", "jsonschema"}
NOT_IN_CONFIG = NEVER | {"ssl", "http.client", "websocket", "kubernetes", "hashlib", "subprocess", "executor.kube"}
_CODE = """
import runpy, sys
sys.argv = ["executor", *sys.argv[2:]]
out = open({out!r}, "w")
try:
    runpy.run_module("executor", run_name="__main__")
finally:
    out.write("\\n".join(sys.modules))
"""


def loaded(folder: Path, verb: str, *, more: str = "") -> tuple[set[str], int]:
    """Return what a verb has loaded at its end, and its exit code; the API server is a closed port.

    `more` are further settings.
    """
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    settings = folder / "settings.toml"
    settings.write_text(
        "[budgets]\napi_seconds = 1\nquota_seconds = 1\n"
        f'[kubernetes]\nkubeconfig = "{folder}/kubeconfig"\nimage = "x"\nnamespace = "n"\n{more}'
    )
    (folder / "response.json").write_text('{"id": 1}')
    (folder / "script").write_text("true\n")
    if verb in {"run", "cleanup"}:
        save_attempt(Attempt(pod="p", namespace="n", uid="u"), folder)
        save(Credentials(server="http://127.0.0.1:1", source=Source(kubeconfig=f"{folder}/kubeconfig")), folder)
    out = folder / "modules"
    words = [str(folder / "script"), "build_script"] if verb == "run" else []
    argv = [sys.executable, "-c", _CODE.format(out=str(out)), "executor", verb, f"--config={settings}", *words]
    environment = {
        "SPACK_FARM_EXECUTOR_WARM": "no",
        "PYTHONPATH": str(CHECKOUT),
        "TMPDIR": str(folder),
        "JOB_RESPONSE_FILE": str(folder / "response.json"),
    }
    done = subprocess.run(argv, env=environment, capture_output=True, check=False, timeout=100)
    return set(out.read_text().split("\n")), done.returncode


def test_config_loads_almost_nothing(tmp_path: Path) -> None:
    modules, code = loaded(tmp_path, "config")
    assert code == 0
    assert modules & NOT_IN_CONFIG == set()


@pytest.mark.parametrize(("verb", "needed"), [("run", "websocket"), ("cleanup", "http.client")])
def test_run_and_cleanup_load_no_client(tmp_path: Path, verb: str, needed: str) -> None:
    modules, code = loaded(tmp_path, verb)
    assert code == 2
    assert needed in modules
    assert modules & (NEVER | {"kubernetes"}) == set()
    assert ("websocket" in modules) == (verb == "run")


def test_prepare_loads_what_credentials_need_and_no_client(tmp_path: Path) -> None:
    modules, code = loaded(tmp_path, "prepare")
    assert code == 2
    assert {"executor.access", "yaml"} <= modules
    assert modules & (NEVER - {"yaml"} | {"kubernetes", "executor.run_script"}) == set()


def test_counters_load_nothing_but_what_locks_their_file(tmp_path: Path) -> None:
    file = tmp_path / "farm.prom"
    without, _ = loaded(tmp_path, "cleanup")
    counting, _ = loaded(tmp_path, "cleanup", more=f'[metrics]\nfile = "{file}"\n')
    assert "spack_farm_jobs_total" in file.read_text()
    assert counting - without <= {"fcntl"}
