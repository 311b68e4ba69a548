"""A job through config, prepare, run and cleanup in a real pod."""

import time
from collections.abc import Callable

from tests.e2e.conftest import Lab
from tests.fakes.runner import Runner, payload


def gone_after(lab: Lab, seconds: float) -> float:
    """Return how long it takes until no pod of the driver is left; fail after `seconds`."""
    began = time.monotonic()
    while lab.pods():
        assert time.monotonic() - began < seconds, "a pod is left"
        time.sleep(0.1)
    return time.monotonic() - began


def test_a_job_that_succeeds_leaves_its_whole_log_and_no_pod(lab: Lab, runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["seq 1 2000", "echo to stderr >&2"], after=["echo after $CI_JOB_STATUS"]))

    assert (outcome.state, outcome.exit_code) == ("success", 0), outcome.text
    assert outcome.stages == [
        "config",
        "prepare",
        "prepare_script",
        "get_sources",
        "build_script",
        "after_script",
        "cleanup_file_variables",
        "cleanup",
    ]
    build = next(call for call in outcome.calls if call.script == "build_script")
    lines = build.stdout.decode().splitlines()
    assert lines[0] == "$ seq 1 2000"
    assert lines[1:2001] == [str(number) for number in range(1, 2001)]
    assert lines[2001:2003] == ["$ echo to stderr >&2", "to stderr"]
    assert lines[2003].startswith("used ")
    assert len(lines) == 2004
    assert "after success" in outcome.text
    gone_after(lab, 20)


def test_a_script_that_fails_gives_its_exit_code(lab: Lab, runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["echo before", "(exit 42)", "echo never"], after=["echo after $CI_JOB_STATUS"]))

    assert (outcome.state, outcome.reason, outcome.exit_code) == ("failed", "script_failure", 42), outcome.text
    assert "before" in outcome.text
    assert "\nnever" not in outcome.text
    assert "after failed" in outcome.text
    gone_after(lab, 10)
