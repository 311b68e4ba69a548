"""The loop closed on a real cluster: killed, retried a step up, ingested, fitted, and the next pipeline asks for enough."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Runner, payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.jobs import job_named

MIB = 1 << 20
CAPS = 'memory_limit = "48Mi"\nmemory_limit_overwrite_max_allowed = "512Mi"\nmemory_request_overwrite_max_allowed = "512Mi"'
PRIOR = "match,memory_request\ngrower,48Mi\nlavish,384Mi\n"


def holds(mib: int) -> str:
    """Return a script that holds so much memory for 3 s: `tail` keeps all of it until it can write it."""
    return f"head -c {mib}m /dev/zero | tail -c {mib}m | {{ sleep 3; cat; }} >/dev/null"


NEEDS = {"grower": holds(140), "lavish": holds(8)}


class Pipeline:
    """Jobs of protected branches, with the driver's documents and a size table."""

    def __init__(self, folder: Path, runner: Callable[..., Runner]) -> None:
        self.documents, self.table, self.folder = folder / "documents", folder / "sizes.json.gz", folder
        self.documents.mkdir()
        top = f'sizes_file = "{self.table}"'
        self._runner = runner(f'{CAPS}\n[telemetry]\nfolder = "{self.documents}"', top)
        self._jobs = 100

    def sizing(self, verb: str, *words: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-m", "sizing", verb, *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fit(self) -> None:
        (self.folder / "prior.csv").write_text(PRIOR)
        self.sizing("ingest", str(self.documents), "--trusted")
        words = ("--prior", str(self.folder / "prior.csv"), "--most-memory", "512Mi", "--least-memory", "32Mi", "--accept")
        self.sizing("fit", "--output", str(self.table), *words)

    def attempts(self, package: str) -> list[Outcome]:
        """Run a package's job until it succeeds, as `retry:` does."""
        info, outcomes = job_named(package), list[Outcome]()
        while not outcomes or (outcomes[-1].state != "success" and len(outcomes) < 4):
            self._jobs += 1
            variables = {
                "SPACK_JOB_SPEC_PKG_NAME": package, "SPACK_JOB_SPEC_PKG_VERSION": "1.0",
                "SPACK_JOB_SPEC_DAG_HASH": hashlib.sha256(package.encode()).hexdigest()[:32],
            }  # fmt: skip
            git: dict[str, Any] = {"ref": "main", "sha": "0" * 40, "before_sha": "0" * 40, "protected": True}
            git["repo_url"] = "http://127.0.0.1/grp/proj.git"
            job = payload([NEEDS[package]], job_info=info, id=self._jobs, git_info=git, variables=variables)
            outcomes.append(self._runner.run(job))
        return outcomes

    def asked_and_used(self, *, since: int) -> tuple[float, float]:
        """Return the GiB·s that the jobs from a number on asked for and used at their peaks."""
        asked = used = 0.0
        for path in self.documents.iterdir():
            made = json.loads(path.read_text())
            if int(made["job"]["id"]) > since:
                seconds = made["totals"]["wall_seconds"] / (1 << 30)
                asked += made["asked"]["memory_limit_bytes"] * seconds
                used += (made["totals"]["memory_working_set_peak_bytes"] or 0) * seconds
        return asked, used

    @property
    def last(self) -> int:
        return self._jobs


@pytest.mark.timeout(240)
def test_a_killed_build_is_retried_a_step_up_and_the_next_pipeline_asks_for_enough(
    tmp_path: Path, runner: Callable[..., Runner]
) -> None:
    pipeline = Pipeline(tmp_path, runner)
    pipeline.fit()
    grown, lavish = pipeline.attempts("grower"), pipeline.attempts("lavish")
    # how many steps it takes is the policy's affair
    states = [outcome.state for outcome in grown]
    assert states in (["failed", "success"], ["failed", "failed", "success"]), grown[-1].text
    assert "memory raised to" in grown[1].text
    assert {outcome.exit_code for outcome in grown[:-1]} == {137}
    assert [outcome.state for outcome in lavish] == ["success"]
    before = pipeline.asked_and_used(since=0)

    pipeline.fit()
    first = pipeline.last
    again, lean = pipeline.attempts("grower"), pipeline.attempts("lavish")
    assert [outcome.state for outcome in (*again, *lean)] == ["success", "success"], again[0].text
    assert "builds of /" in again[0].text or "builds of grower" in again[0].text
    after = pipeline.asked_and_used(since=first)
    words = "GiB·s asked {:.1f}, used {:.1f}"
    sys.stdout.write(f"before: {words.format(*before)}; after: {words.format(*after)}\n")
    assert after[0] < before[0] / 1.5
    assert after[1] > after[0] / 4
