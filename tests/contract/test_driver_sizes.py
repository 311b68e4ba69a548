"""Clause: documents.md, sizes.json: the table sizes a job, its ladder the next attempt; the job's script knows its size."""

import gzip
import json
from pathlib import Path
from typing import Any

from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.lab import ContractLab

MIB = 1 << 20
TELLS = 'echo "$SPACK_BUILD_JOBS jobs, $SPACK_FARM_ASKED_CPU_MILLICORES, $SPACK_FARM_ASKED_MEMORY_LIMIT_BYTES"'


def write_table(path: Path, *, mib: int, ladder: list[int]) -> None:
    row = {
        "cpu_millicores": 100, "memory_bytes": mib * MIB, "memory_limit_bytes": mib * MIB, "build_jobs": 3,
        "ladder_memory_bytes": [step * MIB for step in ladder], "samples": 23,
        "source": "23 builds of hdf5@1.14, largest 58",
    }  # fmt: skip
    path.write_bytes(gzip.compress(json.dumps({"version": 2, "sizes": {"hdf5@1.14": row}}).encode()))


def limits(cluster: FakeCluster) -> list[str]:
    return [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in cluster.created if "spec" in pod]


def test_the_table_sizes_a_job_and_its_ladder_the_attempts_after_a_kill(
    lab: ContractLab, cluster: FakeCluster, tmp_path: Path
) -> None:
    table = tmp_path / "sizes.json"
    package: dict[str, Any] = {"SPACK_JOB_SPEC_PKG_NAME": "hdf5", "SPACK_JOB_SPEC_PKG_VERSION": "1.14"}
    write_table(table, mib=64, ladder=[160, 320])
    runner = lab.runner('memory_limit = "1Gi"', f'sizes_file = "{table}"')
    job = lab.job([TELLS, "eat-memory || exit 3"], variables=package)
    killed = runner.run(job)
    assert "memory 64 MiB: 23 builds of hdf5@1.14, largest 58; CPU 0.1 cores" in killed.text
    assert f"3 jobs, 100, {64 * MIB}" in killed.text
    assert "A retry of this job gets 160 MiB (retry: exit_codes: [137])" in killed.text

    again = runner.run(lab.job([TELLS], variables=package, job_info=job["job_info"]))
    assert again.state == "success", again.text
    assert "memory raised to 160 MiB: an earlier attempt of this job was killed at 64 MiB" in again.text

    write_table(table, mib=96, ladder=[])
    own = runner.run(lab.job([TELLS], variables=package | {"SPACK_BUILD_JOBS": "7"}))
    assert f"7 jobs, 100, {96 * MIB}" in own.text, "a new file counts from the next job on, the job's own number before it"
    assert limits(cluster) == ["64Mi", "160Mi", "96Mi"]


def test_a_table_that_cannot_be_read_costs_a_warning_and_the_settings_size(
    lab: ContractLab, cluster: FakeCluster, tmp_path: Path
) -> None:
    table = tmp_path / "sizes.json"
    table.write_text('{"version": 3, "sizes": {}}')
    outcome = lab.runner('memory_limit = "1Gi"', f'sizes_file = "{table}"').run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("WARNING: no size comes from measured builds") == 1
    assert limits(cluster) == ["1Gi"]
