"""config.toml.example: what GitLab Runner 19.4 requires of it, and that its times fit the driver's own."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("config", "prepare", "run", "cleanup")


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return tomllib.loads((ROOT / "config.toml.example").read_text())


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    return tomllib.loads((ROOT / "executor/defaults.toml").read_text())


def test_it_has_one_custom_runner_with_what_the_runner_requires(example: dict[str, Any]) -> None:
    (runner,) = example["runners"]
    assert runner["executor"] == "custom"
    assert {"name", "url", "token", "builds_dir", "cache_dir"} <= set(runner)


def test_jobs_may_choose_where_they_clone_to(example: dict[str, Any]) -> None:
    """As with the official executor: each job has its own builds_dir."""
    assert example["runners"][0]["custom_build_dir"] == {"enabled": True}


@pytest.mark.parametrize("verb", VERBS)
def test_each_call_names_its_verb_and_the_settings(example: dict[str, Any], verb: str) -> None:
    custom = example["runners"][0]["custom"]
    assert custom[f"{verb}_exec"] == "spack-farm"
    assert custom[f"{verb}_args"] == ["executor", verb, "--config", "/etc/spack-farm/settings.toml"]


def test_it_knows_no_key_that_the_runner_does_not(example: dict[str, Any]) -> None:
    """Source: gitlab-runner common/config.go, CustomConfig; run has no time limit of its own."""
    known = {f"{verb}_{key}" for verb in VERBS for key in ("exec", "args", "exec_timeout")} - {"run_exec_timeout"}
    assert set(example["runners"][0]["custom"]) <= known | {"graceful_kill_timeout", "force_kill_timeout"}


def test_its_times_fit_the_drivers(example: dict[str, Any], defaults: dict[str, Any]) -> None:
    custom, budgets = example["runners"][0]["custom"], defaults["budgets"]
    parts = ("schedule_seconds", "pull_seconds", "start_seconds", "quota_seconds")
    assert custom["prepare_exec_timeout"] > sum(budgets[part] for part in parts)
    assert custom["graceful_kill_timeout"] > defaults["cancel_seconds"]
    assert example["shutdown_timeout"] > custom["graceful_kill_timeout"] + custom["force_kill_timeout"]
    assert custom["cleanup_exec_timeout"] > 50, "cleanup gives up after 50 s on its own"


def test_a_manager_in_a_pod_ends_with_its_last_job_and_tells_gitlab_of_those_that_take_too_long(
    example: dict[str, Any],
) -> None:
    """QUIT lets jobs end; after TERM they are stopped, for which the Runner has `shutdown_timeout`."""
    pod = yaml.safe_load((ROOT / "docs/reference/manager.yaml").read_text())["spec"]["template"]["spec"]
    script = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    found = re.fullmatch(r"kill -QUIT 1; sleep (\d+); kill -TERM 1; sleep (\d+)", script)
    assert found
    assert int(found[1]) + int(found[2]) == pod["terminationGracePeriodSeconds"]
    assert int(found[2]) > example["shutdown_timeout"]
    assert "\nSTOPSIGNAL SIGQUIT\n" in (ROOT / "images/manager/Dockerfile").read_text()
