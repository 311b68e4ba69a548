"""Images that cannot work, and output that must come through unchanged: R7, R15, R18."""

import hashlib
from collections.abc import Callable

from tests.fakes.runner import Runner, payload


def test_a_missing_image_is_the_jobs_failure_and_final(runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["true"], image={"name": "localhost/nothing:1"}))
    assert outcome.reason == "script_failure", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"]
    assert "image pull failed" in outcome.text


def test_an_image_without_a_shell_is_the_jobs_failure(runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["true"], image={"name": "localhost/noshell:1"}))
    assert outcome.reason == "script_failure", outcome.text
    assert "POSIX shell" in outcome.text


def test_a_dash_image_is_told_what_to_do(runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["echo 'two words'"], image={"name": "localhost/dash:1"}))
    assert outcome.reason == "script_failure", outcome.text
    assert "FF_POSIXLY_CORRECT_ESCAPES" in outcome.text


def test_bash_runs_the_script_where_there_is_one(runner: Callable[..., Runner]) -> None:
    script = ["echo ${BASH_VERSION:+bash}", "x=(1 2 3); echo ${#x[@]}", "trap | grep -c INT || true"]
    outcome = runner().run(payload(script, image={"name": "localhost/bash:1"}))
    assert outcome.state == "success", outcome.text
    assert "\nbash\n" in outcome.text
    assert "\n3\n" in outcome.text


def test_any_bytes_come_through_unchanged_whatever_the_script_leaves_running(runner: Callable[..., Runner]) -> None:
    script = [
        "sleep 100 &",
        "head -c 3000000 /dev/urandom | tee blob; echo; echo -n sum:; sha256sum blob",
        "printf 'no newline'",
    ]
    outcome = runner().run(payload(script))
    assert outcome.state == "success", outcome.text[-500:]
    build = next(call for call in outcome.calls if call.script == "build_script").stdout
    begin = build.index(b"sha256sum blob\n") + len(b"sha256sum blob\n")
    end = build.rindex(b"\nsum:")
    assert hashlib.sha256(build[begin:end]).hexdigest().encode() in build[end:]
    assert build[begin:end] == build[begin : begin + 3_000_000]
    assert b"no newlineused " in build


def test_a_large_script_and_file_variable_arrive_whole(runner: Callable[..., Runner]) -> None:
    secret = {"key": "A_FILE", "value": "line\n" * 20_000, "public": False, "masked": False, "file": True}
    outcome = runner().run(payload(["wc -l <$A_FILE", *[f": {'x' * 1000}"] * 200], secret_variables=[secret]))
    assert outcome.state == "success", outcome.text[-500:]
    assert "\n20000\n" in outcome.text


def test_stages_of_every_name_run(runner: Callable[..., Runner]) -> None:
    steps = [{"name": "release", "script": ["echo released"], "timeout": 60, "when": "on_success", "allow_failure": False}]
    cache = [{"key": "c", "paths": ["kept"]}]
    outcome = runner().run(payload(["echo x >kept"], steps=steps, cache=cache, artifacts=[{"paths": ["kept"]}]))
    assert outcome.state == "success", outcome.text
    expected = ["restore_cache", "build_script", "step_release", "archive_cache", "upload_artifacts_on_success"]
    assert [stage for stage in outcome.stages if stage in expected] == expected
    assert "released" in outcome.text
