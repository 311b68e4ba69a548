"""Clause: `run` and `cleanup` speak the control volume's protocol and the one before it: a driver may be replaced mid-job.

The words and files of a protocol are those of the two programs in the pod, which were made with it. tests/data/control/N
keeps them as they were when version N was first released: they are never edited, and a pod made with them is what an older
driver leaves to a newer one. Runs on every backend that has pods.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from executor.pod_agent import KNOWN_PROTOCOLS, PROTOCOL_VERSION
from tests.fakes.runner import Outcome, Payload
from tests.labs.backends.lab import ONCE, ContractLab, outcome_of
from tests.labs.checkout import ROOT

pytestmark = pytest.mark.not_on("local", reason="it has no pods, which another driver could take over")
KEPT = ROOT / "tests/data/control"
PROGRAMS = {1: ("agent.sh", "first_process.sh"), 2: ("agent-amd64",)}
FIRST_PROCESS_1 = """

def first_process(container: str) -> list[str]:
    import pathlib
    texts = [pathlib.Path(__file__).with_name(name).read_text() for name in ("first_process.sh", "agent.sh")]
    program, agent = (text.replace("$", "$$") for text in texts)
    return ["sh", "-c", program, "first_process", CONTROL_FOLDER, container, "900", agent]
"""
"""How the driver that spoke version 1 started a container, in place of `pod_agent.first_process`."""


def swapped(
    lab: ContractLab, job: Payload, *, makes: int, goes_on: int | None = None, known: str = "", cancels: bool = False
) -> Outcome:
    """Run a job whose pod a driver of protocol `makes` makes, and another one, this checkout's by default, goes on with."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        first = copied(folder / "first", makes)
        for program in PROGRAMS[makes]:
            shutil.copy(KEPT / str(makes) / program, first / "executor" / program)
        if makes == 1:
            with (first / "executor/pod_agent.py").open("a") as file:
                file.write(FIRST_PROCESS_1)
        then = ROOT if goes_on is None else copied(folder / "then", goes_on, known)
        if then != ROOT:
            (then / "executor/agent-amd64").write_text("not a program\n")  # only the one in the pod counts
        driver = folder / "driver"
        driver.write_text(
            f"#!/bin/sh\ncase $1 in config|prepare) PYTHONPATH={first} ;; *) PYTHONPATH={then} ;; esac\n"
            f'export PYTHONPATH\nexec {sys.executable} -m executor "$@"\n'
        )
        driver.chmod(0o755)
        runner = lab.runner(program=[str(driver)])
        if cancels:
            runner.when("\nbegun\n", runner.cancel)
        return runner.run(job)


def copied(folder: Path, version: int, known: str = "") -> Path:
    """Copy this checkout's driver, with another number for its protocol; return the copy."""
    for part in ("executor", "spelling"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    control = folder / "executor/pod_agent.py"
    text = control.read_text()
    changed = text.replace(f"PROTOCOL_VERSION = {PROTOCOL_VERSION}\n", f"PROTOCOL_VERSION = {version}\n")
    if known:
        changed = changed.replace(f"frozenset({set(KNOWN_PROTOCOLS)})", f"frozenset({known})")
    assert changed != text or (version, known) == (PROTOCOL_VERSION, "")
    control.write_text(changed)
    return folder


def oldest(lab: ContractLab) -> Outcome:
    """Use each word that the driver has for a pod of the oldest protocol that it still speaks."""
    script = ["echo x >kept; seq 1 500", "printf 'no newline'; exit 4"]
    keeps = [{"name": "a", "paths": ["kept"], "when": "always"}]
    job = lab.job(script, after=["echo after"], artifacts=keeps)
    return swapped(lab, job, makes=min(KNOWN_PROTOCOLS))


@outcome_of(oldest)
def test_a_job_goes_on_in_a_pod_of_the_oldest_protocol_that_is_known(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 4), outcome.text
    lines = outcome.call("build_script").stdout.decode().splitlines()
    assert [line for line in lines if line.isdigit()] == [str(number) for number in range(1, 501)]
    assert "no newline\nused " in outcome.text
    assert "\nafter\n" in outcome.text
    assert outcome.call("upload_artifacts_on_failure").code == 0
    assert outcome.call("cleanup").code == 0


def canceled_in_oldest(lab: ContractLab) -> Outcome:
    """Cancel is a word of the agent's too."""
    job = lab.job(["echo begun; sleep 300"], after=["echo after"])
    return swapped(lab, job, makes=min(KNOWN_PROTOCOLS), cancels=True)


@outcome_of(canceled_in_oldest)
def test_a_cancel_reaches_a_script_in_a_pod_of_the_oldest_protocol(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.call("build_script").code == 2
    assert "could not be sent TERM" not in outcome.text
    assert "\nafter\n" in outcome.text


def next_version(lab: ContractLab) -> Outcome:
    goes_on = PROTOCOL_VERSION + 1
    known = str({PROTOCOL_VERSION, goes_on})
    return swapped(lab, lab.job(["seq 1 500", "exit 4"]), makes=PROTOCOL_VERSION, goes_on=goes_on, known=known)


@outcome_of(next_version)
def test_a_driver_of_the_next_version_finishes_a_job(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 4), outcome.text
    assert "\n499\n500\n" in outcome.text


def two_ahead(lab: ContractLab) -> Outcome:
    goes_on = PROTOCOL_VERSION + 2
    known = str({PROTOCOL_VERSION + 1, goes_on})
    return swapped(lab, lab.job(["echo never"]), makes=PROTOCOL_VERSION, goes_on=goes_on, known=known)


@outcome_of(two_ahead)
def test_a_driver_that_is_two_versions_ahead_says_so_and_takes_the_pod_away(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == [*ONCE[:2], "prepare_script", "cleanup"]
    assert "repeat the job" in outcome.text
    assert outcome.call("cleanup").code == 0


def test_the_programs_of_every_known_protocol_are_kept() -> None:
    """Who makes a new version keeps its programs here, and writes down how the former ones are spoken to."""
    assert set(KNOWN_PROTOCOLS) == {PROTOCOL_VERSION, max(PROTOCOL_VERSION - 1, 1)} == set(PROGRAMS)
    kept = [KEPT / str(version) / program for version, programs in PROGRAMS.items() for program in programs]
    assert all(path.is_file() for path in kept)
