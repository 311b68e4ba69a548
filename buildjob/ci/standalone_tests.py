"""Runs the stand-alone tests of a package that was built, and keeps their results. They never change the outcome."""

import html
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildjob import telemetry
from buildjob.agent.recorder import Recorder
from buildjob.agent.request import StandaloneTests
from buildjob.agent.session import Session
from buildjob.ci import artifacts
from buildjob.ci.job import CIJob
from buildjob.errors import AgentError, Interrupted
from buildjob.spack.adapter import Spack
from buildjob.spack.ci_answer import StandaloneTest, Tested
from buildjob.spack.concrete import ConcreteSpec

_REPORT = "ci-test-results.xml"
_SUMMARY = "results.txt"
_NONE = "NO_TESTS"


def run_tests(session: Session, spack: Spack, spec: ConcreteSpec, recorder: Recorder, job: CIJob) -> None:
    """Run the tests as the request asks; whatever becomes of them is reported, and a fault is a warning."""
    options = session.request.standalone_tests or StandaloneTests()
    stage = recorder.folder / "tests"
    session.log.step(f"running the stand-alone tests of {spec.title}")
    argv = spack.tests_argv(spec, stage, fail_fast=options.fail_fast, seconds=options.timeout_seconds)
    try:
        program = session.prestarted(argv, spack.environment(session.environments.build))
        code, printed = session.finish(program, b"test")
    except Interrupted:
        return
    except (AgentError, OSError) as error:
        session.log.warning(f"{spec.title}: the stand-alone tests were not run to their end: {error}")
        return
    tested = spack.tested(code, printed)
    _record(recorder, tested.tests)
    for test in tested.tests:
        (session.log.warning if test.status == "failed" else session.log.note)(f"test {test.name}: {test.status}")
    if not tested.tests:
        session.log.note(f"{spec.title} has no stand-alone tests")
    if tested.fault:
        session.log.warning(f"{spec.title}: stand-alone tests: {tested.fault}")
    _keep_results(session, job, spec, tested)
    shutil.rmtree(stage, ignore_errors=True)


def keep_none(session: Session, job: CIJob, spec: ConcreteSpec, test_id: str) -> None:
    """Keep among the artifacts that a package has no tests, as Spack writes it after a start of its own; see `run_tests`."""
    session.log.note(f"{spec.title} has no stand-alone tests")
    logs = {f"{test_id}-test-out.txt": f"==> Testing package {test_id}\n{_NONE}: {spec.name}\n"}
    _keep_results(session, job, spec, Tested(log=""), logs=logs | {_SUMMARY: f"{test_id} {_NONE}\n"})


def _logs(tested: Tested) -> dict[str, str]:
    """Return what Spack wrote beside the log of the tests, and the log, by file name; a test may have left other things."""
    found = sorted(Path(tested.log).parent.glob("*.txt")) if tested.log else []
    return {path.name: path.read_text("utf-8", "replace") for path in found if path.is_file() and not path.is_symlink()}


def _keep_results(
    session: Session, job: CIJob, spec: ConcreteSpec, tested: Tested, *, logs: Mapping[str, str] | None = None
) -> None:
    """Keep logs and results among the artifacts; a fault is a warning."""
    try:
        report = junit(spec, tested).encode("utf-8", "replace")
        artifacts.save_tests(job, logs or _logs(tested), report, _REPORT, session.environments.secret_values)
    except OSError as error:
        session.log.warning(f"the results of the stand-alone tests were not kept: {error.strerror or error}")


def skip_tests(recorder: Recorder, spec: ConcreteSpec, reason: str) -> None:
    """Record that the tests were not run."""
    _record(recorder, [StandaloneTest(name=spec.name, status="skipped", output=reason)])


def _record(recorder: Recorder, tests: Sequence[StandaloneTest]) -> None:
    kept = [telemetry.StandaloneTest(name=test.name, status=test.status, wall_seconds=test.seconds) for test in tests]
    recorder.tested(kept, {test.name: test.output for test in tests})


def junit(spec: ConcreteSpec, tested: Tested) -> str:
    """Return the results as GitLab reads them: JUnit's XML, of characters that XML allows."""
    tests = tested.tests
    failed, skipped = (sum(test.status in kinds for test in tests) for kinds in (("failed",), ("skipped", "notrun")))
    cases = []
    for test in tests:
        inner = f"<system-out>{_text(test.output)}</system-out>"
        if test.status == "failed":
            inner = '<failure message="the test failed"/>' + inner
        elif test.status != "passed":
            inner = "<skipped/>" + inner
        name = _attribute(test.name)
        cases.append(
            f'    <testcase classname={_attribute(spec.name)} name={name} time="{test.seconds:.3f}">{inner}</testcase>\n'
        )
    head = f'tests="{len(tests)}" failures="{failed}" skipped="{skipped}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites>\n  <testsuite name={_attribute(spec.title)} {head}>\n{''.join(cases)}  </testsuite>\n</testsuites>\n"
    )


def _clean(text: str) -> str:
    return "".join(
        letter for letter in text if letter in "\t\n" or " " <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd"
    )


def _attribute(text: str) -> str:
    return f'"{html.escape(_clean(text)).replace(chr(10), "&#10;").replace(chr(9), "&#9;")}"'


def _text(text: str) -> str:
    return html.escape(_clean(text), quote=False)
