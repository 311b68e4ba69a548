"""Clause: docs/executor.md, "Counters": what becomes of jobs is counted, on a fake cluster, by whole calls of the driver."""

from pathlib import Path

from executor import metrics
from tests.labs.backends.lab import ContractLab


def test_jobs_are_counted_by_what_became_of_them(lab: ContractLab, tmp_path: Path) -> None:
    path = tmp_path / "farm.prom"
    runner = lab.runner('memory_request = "1Gi"', f'[metrics]\nfile = "{path}"')
    outcome = runner.run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    found = metrics.parse(path.read_text())
    assert found[metrics.series(metrics.JOBS, outcome="success")] == 1
    assert found[metrics.STARTS] == 1
    assert found[metrics.WAITING] > 0
    assert 0 < found[metrics.MEMORY_USED] < found[metrics.MEMORY_ASKED] == 1 << 30
    assert metrics.RETRIES not in found
    refused = lab.runner('allowed_images = ["localhost/other:*"]', f'[metrics]\nfile = "{path}"')
    assert refused.run(lab.job(["true"], image={"name": "localhost/bash:1"})).reason == "script_failure"
    found = metrics.parse(path.read_text())
    assert found[metrics.series(metrics.JOBS, outcome="not_started")] == 1
    assert found[metrics.STARTS] == 1
