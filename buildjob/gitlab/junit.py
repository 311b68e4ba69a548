"""`junit.xml` of a run: the package as a test, for pages that list tests, such as GitLab's of a pipeline. Pure.

What the package could not help is an error, not a failure. Source: GitLab, "Unit test reports"; the form that Ant and
Jenkins read.
"""

import re
from xml.sax.saxutils import escape, quoteattr

from buildjob.outcome import Outcome
from buildjob.report.explain import explain
from buildjob.run_folder import LOG, PAGE, RunResult

FILE = "junit.xml"
_SUITE = "spack-farm"
_LONGEST = 2000
_FAILURES = {Outcome.BUILD_FAILED, Outcome.MEMORY_KILLED, Outcome.TIMED_OUT, Outcome.DISK_FULL}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(result: RunResult) -> bytes:
    """Return the document of one run."""
    kind, body = _ending(result)
    known, seconds = result.telemetry.spec, max(result.telemetry.totals.wall_seconds, 0.0)
    title = f"{known.name}@{known.version}{f' /{known.hash[:7]}' if known.hash else ''}"
    counts = {"failures": kind == "failure", "errors": kind == "error", "skipped": kind == "skipped"}
    numbers = " ".join(f'{name}="{int(is_so)}"' for name, is_so in counts.items())
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites tests="1" {numbers} time="{seconds:.3f}">\n'
        f' <testsuite name="{_SUITE}" tests="1" {numbers} time="{seconds:.3f}" '
        f"timestamp={_attribute(result.telemetry.started_at[:19])}>\n"
        f'  <testcase classname={_attribute(known.name)} name={_attribute(title)} time="{seconds:.3f}">{body}</testcase>\n'
        " </testsuite>\n</testsuites>\n"
    )
    return text.encode("utf-8", "replace")


def _ending(result: RunResult) -> tuple[str, str]:
    """Return what the test has come to, and the element that says so."""
    outcome = result.outcome
    if outcome is Outcome.BUILT:
        return "", ""
    explanation = explain(result.telemetry)
    message = f"message={_attribute(explanation.headline)}"
    if outcome is Outcome.ALREADY_THERE:
        return "skipped", f"<skipped {message}/>"
    kind = "failure" if outcome in _FAILURES else "error"
    lines = [explanation.detail, *explanation.advice]
    if error := result.telemetry.first_error:
        lines.append(f"{LOG}:{error.line}: {error.text}")
    lines.append(f"{result.folder.name}/{PAGE}")
    text = "\n".join(line[:_LONGEST] for line in lines if line)
    return kind, f'<{kind} {message} type="{outcome.value}">{escape(_clean(text))}</{kind}>'


def _attribute(text: str) -> str:
    return quoteattr(_clean(text)[:_LONGEST])


def _clean(text: str) -> str:
    """Return the text without what no XML document may hold."""
    return _NOT_IN_XML.sub("�", text)
