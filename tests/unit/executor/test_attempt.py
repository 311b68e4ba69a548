"""attempt.json is read by another version of the driver if that is replaced within a job."""

import json
from pathlib import Path

import pytest

from executor.attempt import Attempt, Fate, load_attempt, save_attempt, script_variables
from executor.sizes import Size

OLD = {
    "version": 1, "pod": "job-1-a", "namespace": "n", "uid": "u", "backend": "kubernetes", "control_protocol": 1,
    "quoting": False, "shell": "bash", "image": "debian", "node": "node-1", "cpu_request_millicores": 500,
    "disk_request_bytes": None, "memory_request_bytes": 1024, "memory_limit_bytes": 2048, "cpu_limit_millicores": None,
    "disk_limit_bytes": 4096, "memory_record": "memory-1", "last_stages": ["after_script"], "is_done": True, "lost": "",
    "build_dead": "killed",
}  # fmt: skip
"""As the driver wrote it when it had no parts."""
ATTEMPT = Attempt(
    pod="job-1-a", namespace="n", uid="u", quoting=False, shell="bash", image="debian", node="node-1",
    size=Size(cpu_request_millicores=500, memory_request_bytes=1024, memory_limit_bytes=2048, disk_limit_bytes=4096),
    history="memory-1", last_stages=frozenset({"after_script"}), fate=Fate(is_done=True, build_dead="killed"),
)  # fmt: skip


def test_what_an_older_driver_has_kept_is_read(tmp_path: Path) -> None:
    (tmp_path / "attempt.json").write_text(json.dumps(OLD))
    assert load_attempt(tmp_path) == ATTEMPT


def test_an_older_driver_reads_what_is_kept(tmp_path: Path) -> None:
    save_attempt(ATTEMPT, tmp_path)
    assert json.loads((tmp_path / "attempt.json").read_text()).items() >= OLD.items()


@pytest.mark.parametrize("attempt", [ATTEMPT, Attempt(pod="p", namespace="n")])
def test_an_attempt_comes_back_as_it_was(tmp_path: Path, attempt: Attempt) -> None:
    save_attempt(attempt, tmp_path)
    assert load_attempt(tmp_path) == attempt


def test_without_prepare_there_is_none(tmp_path: Path) -> None:
    assert load_attempt(tmp_path) is None


def test_scripts_get_what_is_known_and_nothing_else() -> None:
    assert script_variables(Attempt(pod="p", namespace="n")) == {}
    known = Attempt(pod="p", namespace="n", image_digest="x@sha256:1", number=2)
    assert script_variables(known) == {"SPACK_FARM_IMAGE_DIGEST": "x@sha256:1", "SPACK_FARM_JOB_ATTEMPT": "2"}
    sized = Attempt(pod="p", namespace="n", size=Size(cpu_request_millicores=500, memory_limit_bytes=1 << 30), build_jobs=4)
    assert script_variables(sized) == {
        "SPACK_FARM_ASKED_CPU_MILLICORES": "500",
        "SPACK_FARM_ASKED_MEMORY_LIMIT_BYTES": str(1 << 30),
        "SPACK_BUILD_JOBS": "4",
    }
