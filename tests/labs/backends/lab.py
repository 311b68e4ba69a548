"""How the Runner's contract is tested: jobs through the emulator, over a driver and a backend that a fixture supplies.

A test names its job by a mark; the fixture `outcome` is the job's result. So the same tests run on the fake cluster, where
many jobs run at once, on a real one, and as plain processes.
"""

import dataclasses
import itertools
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Payload, Runner, payload

__all__ = [
    "BACKENDS",
    "NOWHERE",
    "ONCE",
    "ContractLab",
    "Outcome",
    "Payload",
    "Runner",
    "backends_of",
    "codes",
    "outcome_of",
    "payload",
    "running",
    "story_of",
]
BACKENDS = ("fake", "local", "cluster")
ONCE = ["config", "prepare", "cleanup"]
NOWHERE = '[kubernetes.node_selector]\n"no/such" = "node"\n[budgets]\nschedule_seconds = 3'
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class ContractLab:
    """A cluster and a driver in front of it."""

    runner: Callable[..., Runner]
    """Makes a Runner; its first two arguments are TOML of the driver's settings: in `[kubernetes]`, and above it.

    `program` is another driver than this checkout's.
    """
    evict: Callable[[int], None]
    """Evicts the pod of a job by its id, with the pod's own grace."""
    remove: Callable[[int], None]
    """Removes the pod of a job by its id from the API, without any grace."""
    phases: Callable[[int], list[str]]
    """Returns the phases of a job's pods by the job's id; empty if it has none."""

    def job(self, script: list[str], **changes: Any) -> Payload:
        """Return the payload of a job with an id, a name and a project of its own."""
        number = os.getpid() * 1000 + next(_numbers)
        info = {"name": f"job {number}", "stage": "build", "pipeline_id": time.time_ns() // 1000, "project_id": 4}
        info["project_full_path"] = f"grp/proj{number}"
        return payload(script, **{"id": number, "job_info": info, **changes})

    def run(self, script: list[str], **changes: Any) -> Outcome:
        """Run a job on the driver's plain settings."""
        return self.runner().run(self.job(script, **changes))


def outcome_of(story: Callable[[ContractLab], Outcome]) -> pytest.MarkDecorator:
    """Mark a test with its job. Tests with the same story may share one run of it."""
    return pytest.mark.story.with_args(story)


def story_of(item: pytest.Item) -> Callable[[ContractLab], Outcome] | None:
    """Return the job of a test's mark."""
    mark = item.get_closest_marker("story")
    return mark.args[0] if mark else None


def codes(outcome: Outcome, stage: str) -> list[int]:
    """Return the exit codes of all calls of a stage."""
    return [call.code for call in outcome.calls if call.stage == stage]


def running(runner: Runner) -> "subprocess.Popen[bytes]":
    """Return the driver's call that runs now."""
    assert runner.process is not None
    return runner.process


def backends_of(item: pytest.Item) -> list[str]:
    """Return the backends to which a test applies; its marks `not_on` name the others, each with a reason."""
    left = list(BACKENDS)
    for mark in item.iter_markers("not_on"):
        assert mark.kwargs["reason"], f"{item.nodeid}: not_on gives no reason"
        assert set(mark.args) <= set(BACKENDS), f"{item.nodeid}: {mark.args}"
        left = [name for name in left if name not in mark.args]
    return left
