"""Clause: the same jobs run unchanged on the backend `local`: scripts as plain processes, without any cluster.

What needs images, pods or a helper's gitlab-runner is left to the clusters.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.runner_lab import Lab, story_of
from tests.contract.test_runner_cancel import (  # noqa: F401 (they run here)
    test_a_cancel_before_the_users_script_ends_everything,
    test_a_forced_cancel_calls_only_cleanup,
    test_a_graceful_cancel_ends_the_script_and_runs_after_script_in_the_same_pod,
    test_a_script_that_ends_with_0_on_term_has_not_succeeded,
    test_a_script_that_ignores_term_is_killed,
    test_the_jobs_timeout_calls_only_cleanup,
)
from tests.contract.test_runner_prepare import (  # noqa: F401
    test_a_bad_quantity_is_the_jobs_failure_and_named,
    test_native_steps_are_refused_with_words,
    test_services_that_are_not_there_yet_are_refused_with_words,
)
from tests.contract.test_runner_results import (  # noqa: F401
    test_a_job_that_succeeds_has_its_whole_log_in_order,
    test_any_bytes_come_through_unchanged_whatever_the_script_leaves_running,
    test_the_exit_code_file_is_never_an_earlier_stages,
)
from tests.fakes.runner import Outcome, Runner

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def outcome(request: pytest.FixtureRequest, tmp_path: Path) -> Outcome:
    """Run the test's job."""

    def make(kubernetes: str = "", top: str = "") -> Runner:
        path = tmp_path / "settings.toml"
        folders = f'builds_dir = "{tmp_path}/builds"\ncache_dir = "{tmp_path}/cache"\n'
        path.write_text(f'backend = "local"\n{folders}{top}\n[kubernetes]\n{kubernetes}\n')
        return Runner([sys.executable, "-m", "executor"], ["--config", str(path)], environment={"PYTHONPATH": str(CHECKOUT)})

    def no_pod(job_id: int) -> Any:
        raise AssertionError(job_id)

    story = story_of(request.node)
    assert story is not None
    ended = story(Lab(runner=make, evict=no_pod, remove=no_pod, phases=no_pod))
    assert "WARNING: " in ended.text or ended.reason, "each log says that there is no isolation"
    return ended
