"""Clause: what a job's end is to GitLab. Runner's custom executor, exit codes, order of calls and the job log.

Source: gitlab-runner 19.4 docs/executors/custom.md, executors/custom/command, common/build.go. Runs on every backend.
"""

import hashlib
import os
import re
import signal

import pytest

from tests.fakes.runner import Outcome, Runner
from tests.labs.backends.lab import ContractLab, outcome_of

WHOLE = ["config", "prepare", "prepare_script", "get_sources", "build_script"]
FILE_VARIABLE = {"key": "A_FILE", "value": "line\n" * 20_000, "public": False, "masked": False, "file": True}
EVERY_BYTE = "".join(f"\\{byte:03o}" for byte in range(256))


@outcome_of(
    lambda lab: lab.run(
        ["seq 1 500", "echo to stderr >&2", 'wc -l <"$A_FILE"', *[f": {'x' * 1000}"] * 100],
        after=["echo after $CI_JOB_STATUS"],
        secret_variables=[FILE_VARIABLE],
    )
)
def test_a_job_that_succeeds_has_its_whole_log_in_order(outcome: Outcome) -> None:
    """The script is larger than a pipe, and so is the file variable that it writes."""
    assert (outcome.state, outcome.exit_code) == ("success", 0), outcome.text
    assert outcome.stages == [*WHOLE, "after_script", "cleanup_file_variables", "cleanup"]
    lines = outcome.call("build_script").stdout.decode().splitlines()
    assert lines[:501] == ["$ seq 1 500", *map(str, range(1, 501))]
    assert lines[501:503] == ["$ echo to stderr >&2", "to stderr"]
    assert lines[504] == "20000"
    assert lines[-1].startswith("used ")
    assert "\nafter success\n" in outcome.text
    assert "Using Custom executor with driver spack-farm" in outcome.text
    assert outcome.call("build_script").stderr == b""


@outcome_of(
    lambda lab: lab.run(
        ['echo "image $SPACK_FARM_IMAGE_DIGEST, attempt $SPACK_FARM_JOB_ATTEMPT"'],
        after=['echo "afterwards $SPACK_FARM_IMAGE_DIGEST"'],
    )
)
@pytest.mark.not_on("local", reason="it uses no image and has no attempt history")
def test_scripts_of_the_jobs_image_know_its_digest_and_the_attempts_number(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    found = re.search(r"\nimage (\S*sha256:[0-9a-f]{64}), attempt 1\n", outcome.text)
    assert found is not None, outcome.text
    assert f"\nafterwards {found[1]}\n" in outcome.text


@outcome_of(
    lambda lab: lab.run(
        ["echo before", "echo kept >kept", "(exit 42)", "echo never"],
        after=["echo after $CI_JOB_STATUS"],
        artifacts=[{"name": "a", "paths": ["kept"], "when": "always"}],
    )
)
@pytest.mark.not_on("local", reason="artifacts need a gitlab-runner, which an image of the cluster has")
def test_a_script_that_fails_gives_its_own_exit_code_and_its_artifacts(outcome: Outcome) -> None:
    assert (outcome.state, outcome.reason, outcome.exit_code) == ("failed", "script_failure", 42), outcome.text
    later = ["after_script", "upload_artifacts_on_failure", "cleanup_file_variables", "cleanup"]
    assert outcome.stages == [*WHOLE, *later]
    assert "\nbefore\n" in outcome.text
    assert "\nnever" not in outcome.text
    assert "\nafter failed\n" in outcome.text
    assert hashlib.sha256(b"kept\n").hexdigest() in outcome.text


@outcome_of(
    lambda lab: lab.run(
        ["exit 3"],
        variables={"GET_SOURCES_ATTEMPTS": "2"},
        after=["exit 9"],
        hooks=[
            {
                "name": "pre_get_sources_script",
                "script": [
                    '[ -e "$CI_PROJECT_DIR.seen" ] || { mkdir -p "$CI_PROJECT_DIR"; : >"$CI_PROJECT_DIR.seen"; exit 7; }'
                ],
            }
        ],
    )
)
def test_the_exit_code_file_is_never_an_earlier_stages(outcome: Outcome) -> None:
    """The Runner clears it never: get_sources has left 7 in it; after_script's 9 must not become the job's either."""
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 3), outcome.text
    assert [call.code for call in outcome.calls if call.script == "get_sources"] == [1, 0]
    assert "after_script failed, but job will continue unaffected: script_failure 9" in outcome.text


@outcome_of(
    lambda lab: lab.run(
        ["echo one"],
        variables={"GET_SOURCES_ATTEMPTS": "2"},
        hooks=[{"name": "post_get_sources_script", "script": ["[ -e ../done ] || { : >../done; exit 1; }"]}],
        steps=[{"name": "Release", "script": ["echo released"]}],
        cache=[{"key": "c", "paths": ["kept"]}],
        dependencies=[{"name": "earlier", "artifacts_file": {"filename": "nothing"}}],
    )
)
@pytest.mark.not_on("local", reason="caches and artifacts need a gitlab-runner, which an image of the cluster has")
def test_every_stage_runs_also_those_that_the_documentation_lacks(outcome: Outcome) -> None:
    """clear_worktree comes before sources are got again; steps beyond the script have names of their own."""
    assert outcome.reason == "script_failure", outcome.text  # the cache's paths do not exist
    middle = ["get_sources", "clear_worktree", "get_sources", "restore_cache", "download_artifacts", "build_script"]
    assert outcome.stages[3:10] == [*middle, "step_release"], outcome.stages
    assert "\nreleased\n" in outcome.text
    assert outcome.stages[-3:] == ["archive_cache", "cleanup_file_variables", "cleanup"]


@outcome_of(lambda lab: lab.run(["echo x >kept"], artifacts=[{"name": "a", "paths": ["no-such-file"]}]))
@pytest.mark.not_on("local", reason="artifacts need a gitlab-runner, which an image of the cluster has")
def test_an_upload_that_fails_fails_the_job(outcome: Outcome) -> None:
    assert outcome.reason == "script_failure", outcome.text
    assert outcome.call("upload_artifacts_on_success").code == 1
    assert outcome.stages[-2:] == ["cleanup_file_variables", "cleanup"]


@outcome_of(
    lambda lab: lab.run(
        [
            "sleep 100 &",
            f"i=0; while [ $i -lt 50 ]; do i=$((i+1)); printf '{EVERY_BYTE}'; done; echo",
            "printf 'no newline'",
        ]
    )
)
def test_any_bytes_come_through_unchanged_whatever_the_script_leaves_running(outcome: Outcome) -> None:
    """A background child that holds the output neither hangs the stage nor swallows the end of the log."""
    assert outcome.state == "success", outcome.text[-500:]
    assert bytes(range(256)) * 50 + b"\n$ printf 'no newline'\nno newline\nused " in outcome.call("build_script").stdout
    assert outcome.call("build_script").seconds < 60


MEGABYTES = [
    "head -c 20000000 /dev/urandom | tee blob; echo; printf sum:; sha256sum <blob",
    # the script's own folder in the control volume; its first segment of output goes once the driver has read it
    'i=0; while [ -e "${0%/*}/log.0" ] && [ $i -lt 600 ]; do i=$((i+1)); sleep 0.1; done; ls "${0%/*}"',
]


@outcome_of(lambda lab: lab.run(MEGABYTES))
@pytest.mark.not_on("local", reason="it has no control volume")
def test_megabytes_come_through_unchanged_and_leave_the_volume_once_they_are_read(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text[-500:]
    told = outcome.call("build_script").stdout
    begin = told.index(b"sha256sum <blob\n") + len(b"sha256sum <blob\n")
    assert told[begin + 20_000_000 : begin + 20_000_005] == b"\nsum:"
    assert hashlib.sha256(told[begin : begin + 20_000_000]).hexdigest().encode() in told[begin + 20_000_005 :]
    left = told[told.rindex(b"ls ") :].split()
    assert b"script" in left
    assert b"log.0" not in left


@outcome_of(
    lambda lab: lab.run(["echo ${BASH_VERSION:+bash}", "x=(1 2 3); echo ${#x[@]}"], image={"name": "localhost/bash:1"})
)
@pytest.mark.not_on("local", reason="it uses no image")
def test_bash_runs_the_script_where_there_is_one(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "\nbash\n" in outcome.text
    assert "\n3\n" in outcome.text


def killed_driver(lab: ContractLab) -> Outcome:
    job = lab.runner()
    job.when("\nbegun\n", lambda: _kill_driver(job))
    return job.run(lab.job(["echo begun; sleep 61"], after=["echo after"]))


def _kill_driver(job: Runner) -> None:
    assert job.process is not None
    os.kill(job.process.pid, signal.SIGKILL)


@outcome_of(killed_driver)
def test_a_driver_that_is_killed_is_a_system_failure(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.call("build_script").code == -signal.SIGKILL
    assert "\nafter\n" in outcome.text, "the pod still stands, and after_script runs in it"


@outcome_of(lambda lab: lab.run(["true"], variables={"HUGE": "x" * 140_000}))
def test_a_variable_beyond_the_kernels_limit_is_a_system_failure_in_three_attempts(outcome: Outcome) -> None:
    """No driver can prevent it: its process does not even start."""
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.text.count("Will be retried") == 3
    assert outcome.stages == []


@outcome_of(lambda lab: lab.run(["echo 'two words'"], image={"name": "localhost/dash:1"}))
@pytest.mark.not_on("local", reason="it uses no image")
def test_a_shell_that_does_not_read_the_runners_quotes_is_told_what_to_do(outcome: Outcome) -> None:
    assert outcome.reason == "script_failure", outcome.text
    assert "FF_POSIXLY_CORRECT_ESCAPES" in outcome.text


POSIX = {"FF_POSIXLY_CORRECT_ESCAPES": "true", "A_VALUE": "a 'b' \"c\" $d `e` \\f"}


@outcome_of(
    lambda lab: lab.run(
        ["echo ab | grep 'b$'", "echo \"$'kept'\"", ": ; eval $'x=1' || true", 'printf "<%s>\\n" "$A_VALUE"; exit 6'],
        image={"name": "localhost/dash:1"},
        variables=POSIX,
        after=["echo after"],
    )
)
@pytest.mark.not_on("local", reason="it uses no image")
def test_a_shell_like_dash_runs_scripts_whose_quotes_it_reads(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 6), outcome.text
    assert f"\n<{POSIX['A_VALUE']}>\n" in outcome.text
    assert "\nab\n" in outcome.text, "what the user wrote is not the Runner's own quoting"
    assert "\n$'kept'\n" in outcome.text
    assert "\nafter\n" in outcome.text


@outcome_of(lambda lab: lab.run(["echo begun; kill -9 $$; sleep 1"], after=["echo after"]))
@pytest.mark.not_on("local", reason="a signal there is an exit code like any other")
def test_a_script_that_kills_its_own_shell_has_failed_and_not_for_memory(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert "\nbegun\n" in outcome.text
    assert "the script killed its own container's processes" in outcome.text
    assert "killed for memory" not in outcome.text
    assert "\nafter\n" in outcome.text


@outcome_of(lambda lab: lab.run(["seq 1 20000; kill -9 -1"], after=["echo after"]))
@pytest.mark.not_on("local", "fake", reason="it would kill every process of this machine")
def test_a_script_that_kills_every_process_of_its_container_keeps_its_log(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    lines = outcome.call("build_script").stdout.decode().splitlines()
    assert [line for line in lines if line.isdigit()] == [str(number) for number in range(1, 20001)]
    assert "the script killed its own container's processes" in outcome.text
    assert "killed for memory" not in outcome.text
    assert "\nafter\n" in outcome.text
