"""The counters for Prometheus: many calls at once lose none, the file is whole at any time, and no fault fails a job."""

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from executor import metrics
from executor.log import Log
from executor.settings import Metrics, Settings, load_settings
from tests.labs.checkout import ROOT

_ADDER = """
import sys
from executor import metrics
from executor.log import Log
from executor.settings import load_settings
from pathlib import Path
settings = load_settings(Path(sys.argv[1]))
for _ in range(25):
    metrics.add(settings, {metrics.series(metrics.JOBS, outcome="success"): 1, metrics.WAITING: 0.5}, Log(2))
"""


def counting(path: Path) -> Settings:
    return msgspec.structs.replace(load_settings(None), metrics=Metrics(file=str(path)))


def test_calls_side_by_side_lose_no_count_and_readers_find_a_whole_file(tmp_path: Path) -> None:
    path, settings, over = tmp_path / "farm.prom", tmp_path / "settings.toml", threading.Event()
    settings.write_text(f'[metrics]\nfile = "{path}"\n')
    seen: list[str] = []

    def read() -> None:
        while not over.wait(0.001):
            seen.extend([path.read_text()] if path.exists() else [])

    reader = threading.Thread(target=read)
    reader.start()
    argv = [sys.executable, "-c", _ADDER, str(settings)]
    callers = [subprocess.Popen(argv, env={"PYTHONPATH": str(ROOT)}) for _ in range(4)]
    assert [caller.wait(100) for caller in callers] == [0] * 4
    over.set()
    reader.join()
    found = metrics.parse(path.read_text())
    assert found[metrics.series(metrics.JOBS, outcome="success")] == 100
    assert found[metrics.WAITING] == 50
    assert all(text.startswith("# HELP ") and text.endswith("\n") and metrics.UPDATED in text for text in seen)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".farm.prom.lock", "farm.prom", "settings.toml"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("broken", ["no folder", "a folder", "foreign content"])
def test_what_cannot_be_counted_is_a_warning(broken: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ("gone/farm.prom" if broken == "no folder" else "farm.prom")
    if broken == "a folder":
        path.mkdir()
    if broken == "foreign content":
        path.write_bytes(b'\xff\nspack_farm_jobs_total 1e999x\nspack_farm_jobs_total{x="y"} 3\nother 1\n')
    metrics.add(counting(path), {metrics.RETRIES: 1}, Log(2))
    warned = "WARNING: the counters cannot be written, see metrics.file" in capfd.readouterr().err
    assert warned is (broken != "foreign content")
    if not warned:
        assert metrics.parse(path.read_text())[metrics.RETRIES] == 1


def test_without_a_file_in_the_settings_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metrics.add(load_settings(None), {metrics.RETRIES: 1}, Log(2))
    assert not list(tmp_path.iterdir())
