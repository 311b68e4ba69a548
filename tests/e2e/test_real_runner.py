"""A real GitLab Runner 19.4 drives our driver: config.toml.example, register, verify, jobs, a cancel, a trace with gaps."""

from pathlib import Path

from tests.labs.farm.farm import Farm, plain


def test_a_runner_registers_and_verifies_with_our_example(farm: Farm, tmp_path: Path) -> None:
    said = farm.call_runner("verify", "--config", str(farm.folder / "config.toml"))
    assert "is valid" in said
    words = ["--non-interactive", "--url", farm.gitlab.url, "--token", farm.gitlab.runner_token]
    template = tmp_path / "template.toml"
    template.write_text((farm.folder / "config.toml").read_text().partition('[[runners]]\n  name = "official"')[0])
    words += ["--template-config", str(template), "--executor", "custom"]
    said = farm.call_runner("register", "--config", str(tmp_path / "config.toml"), *words)
    assert "Runner registered successfully" in said
    assert 'run_exec = "spack-farm"' in (tmp_path / "config.toml").read_text()


def test_a_job_succeeds_with_its_whole_log(farm: Farm) -> None:
    job = farm.submit(["seq 1 500", "echo to stderr >&2"], after=["echo after $CI_JOB_STATUS"])
    assert job.wait().state == "success", job.text
    lines = plain(job.text).splitlines()
    start = lines.index("$ seq 1 500")
    assert lines[start + 1 : start + 501] == [str(number) for number in range(1, 501)]
    assert "to stderr" in lines
    assert "after success" in lines
    assert any("Using Custom executor with driver spack-farm" in line for line in lines)
    assert job.trace_is_whole()


def test_the_runners_first_script_is_told_without_a_command_in_the_pod(farm: Farm) -> None:
    """Once the Runner writes another one, this fails: it would only cost time, but see what is new in it."""
    job = farm.submit(["echo Running on $(hostname)...", "ls /.spack-farm/helper/stages"])
    assert job.wait().state == "success", job.text
    lines = plain(job.text).splitlines()
    (host,) = {line for line in lines if line.startswith("Running on ")}
    assert lines.count(host) == 2, "the driver's line is the pod's own"
    ran = [line.partition("-")[0] for line in lines[lines.index("$ ls /.spack-farm/helper/stages") + 1 :]]
    assert "get_sources" in ran
    assert "prepare_script" not in ran


def test_a_script_that_fails_gives_gitlab_its_exit_code(farm: Farm) -> None:
    job = farm.submit(["echo before", "(exit 42)", "echo never"])
    end = job.wait()
    assert (end.state, end.reason, end.exit_code) == ("failed", "script_failure", 42), job.text


def test_a_canceled_job_still_runs_its_after_script(farm: Farm) -> None:
    job = farm.submit(["echo begun", "while :; do echo tick; sleep 1; done"], after=["echo after $CI_JOB_STATUS"])
    job.when("begun\n", job.cancel)
    assert job.wait().state == "failed"
    assert "after canceled" in plain(job.text)


def test_a_trace_that_gitlab_lost_is_sent_again(farm: Farm) -> None:
    job = farm.submit(["echo begun", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done"])
    job.when("line 2", lambda: job.lose_trace_after(10))
    job.put_answers = [412]
    assert job.wait().state == "success", job.text
    assert job.trace_is_whole()
    assert [f"line {number}" in plain(job.text) for number in range(1, 7)] == [True] * 6
