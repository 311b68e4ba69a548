"""A job through config, prepare, run and cleanup in a real pod."""

from collections.abc import Callable

from tests.fakes.runner import Runner, payload


def test_a_job_that_succeeds_leaves_its_whole_log_and_no_pod(runner: Callable[..., Runner]) -> None:
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


def test_a_script_that_fails_gives_its_exit_code(runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["echo before", "(exit 42)", "echo never"], after=["echo after $CI_JOB_STATUS"]))

    assert (outcome.state, outcome.reason, outcome.exit_code) == ("failed", "script_failure", 42), outcome.text
    assert "before" in outcome.text
    assert "\nnever" not in outcome.text
    assert "after failed" in outcome.text
