"""Clause: `[telemetry] folder` gets a document of each attempt; it obeys the published schema and costs no job anything."""

import json
import stat
from pathlib import Path

import jsonschema

from executor import usage
from executor.attempt import Attempt
from executor.counters import Counters
from executor.job import Job
from executor.stream_state import ScriptEnd
from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.lab import ContractLab

CHECKOUT = Path(__file__).resolve().parents[2]


def test_each_attempt_leaves_one_document_that_obeys_the_schema(
    lab: ContractLab, cluster: FakeCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    runner = lab.runner(f'memory_request = "128Mi"\nmemory_limit = "256Mi"\n[telemetry]\nfolder = "{folder}"')
    variables = {"SPACK_JOB_SPEC_PKG_NAME": "zlib", "SPACK_JOB_SPEC_PKG_VERSION": "1.3.1"}
    job = lab.job(["eat-memory || exit 3"], after=["true"], variables=variables)
    outcome = runner.run(job)
    assert outcome.exit_code == 137, outcome.text
    (path,) = folder.iterdir()
    assert path.stem == cluster.created[0]["metadata"]["name"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = json.loads(path.read_text())
    schema = json.loads((CHECKOUT / "docs/reference/telemetry.schema.json").read_text())
    jsonschema.validate(told, schema, cls=jsonschema.Draft202012Validator)
    assert (told["complete"], told["outcome"], told["exit_code"]) == (True, "script_failed", 3)
    assert told["spec"] == {"name": "zlib", "version": "1.3.1"}
    assert told["asked"]["memory_bytes"] == 128 << 20
    assert told["asked"]["memory_limit_bytes"] == 256 << 20
    assert told["totals"]["memory_peak_bytes"] > 0
    assert [kill["limit_bytes"] for kill in told["memory_kills"]] == [256 << 20]
    assert told["job"]["id"] == str(job["id"])


def test_a_folder_that_cannot_be_written_to_costs_a_warning(lab: ContractLab) -> None:
    outcome = lab.runner('[telemetry]\nfolder = "/nonexistent"').run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    assert "WARNING: the document about this attempt cannot be written, see telemetry.folder" in outcome.text


def test_a_container_that_claims_any_number_of_kills_does_not_fill_the_document() -> None:
    before, after = Counters(), Counters(memory_kills=10**12)
    end = ScriptEnd(exit_code=1, before=before, after=after, working_set_peak_bytes=0, log_is_whole=True)
    attempt = Attempt(pod="p", namespace="n")
    told = usage.document(end, attempt, Job(id=1), variables={}, began=0, ended=1)
    assert len(told["memory_kills"]) == 100
