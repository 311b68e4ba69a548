"""Clause: a failed job's own lines are sorted by Spack's error taxonomy into the class of its cause."""

import re
from typing import Any

import pytest
import yaml

from buildjob.ci.phrases import last_line
from buildjob.outcome import EXIT_CODES, Outcome
from buildjob.report import terminal
from buildjob.telemetry import FetchFault, FirstError, Publish
from tests.labs.checkout import ROOT
from tests.labs.telemetry_samples import sample

_TAXONOMY = ROOT.parent / "shared" / "data" / "spack" / "error_taxonomy.yaml"


@pytest.fixture(scope="module")
def taxonomy() -> dict[str, Any]:
    if not _TAXONOMY.is_file():
        pytest.skip(f"{_TAXONOMY} is not there: the classes of Spack's error taxonomy")
    found: dict[str, Any] = yaml.safe_load(_TAXONOMY.read_text())["taxonomy"]
    return found


def _class_of(taxonomy: dict[str, Any], log: str) -> str:
    """Sort a log as upstream does: of the classes with a pattern in it the first one in the order of precedence."""
    matching = {
        name
        for name, rule in taxonomy["error_classes"].items()
        if rule and any(re.search(pattern, log) for pattern in rule["grep_for"])
    }
    return next((name for name in taxonomy["deconflict_order"] if name in matching), "")


def _printed(outcome: Outcome, **changes: Any) -> str:
    document = sample(outcome=outcome.value, exit_code=EXIT_CODES[outcome], memory_kills=[], **changes)
    return terminal.table(document, color=False, width=100) + "\n" + last_line(document)


@pytest.mark.parametrize(
    ("outcome", "changes", "expected"),
    [
        (Outcome.BUILD_FAILED, {"first_error": FirstError(line=8, text="a.c:9:5: error: expected ';'")}, "build_error"),
        (Outcome.BUILD_FAILED, {"first_error": None}, "build_error"),
        # to tell a killed compiler from another failure upstream has a class, and ours says `Killed` first
        (Outcome.MEMORY_KILLED, {"first_error": None}, "killed"),
        (Outcome.DEPENDENCY_FAILED, {"first_error": None}, "no_binary_for_spec"),
        (Outcome.DISK_FULL, {"first_error": None}, "no_space"),
        (Outcome.TIMED_OUT, {"first_error": None}, "execution_timeout"),
        (Outcome.SPACK_UNUSABLE, {"first_error": None}, "spack_error"),
        (Outcome.PUBLISH_FAILED, {"first_error": None, "publish": Publish(state="failed")}, ""),
    ],
)
def test_an_outcome_is_sorted_into_its_class(
    taxonomy: dict[str, Any], outcome: Outcome, changes: dict[str, Any], expected: str
) -> None:
    assert _class_of(taxonomy, _printed(outcome, **changes)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("timeout", "network_timeout"),
        ("name", "dns_error"),
        ("name_later", "dns_error"),
        ("absent", "network_error"),
        ("http", "network_error"),
        ("refused", "network_error"),
        ("unreachable", "network_error"),
        ("certificate", "network_error"),
        ("tls", "network_error"),
        ("busy", "5XX"),
        ("disconnected", "remote_disconnect"),
        ("checksum", "checksum_mismatch"),
        ("damaged", "checksum_mismatch"),
        ("denied", "network_error"),
        ("denied of s3", "aws_access_denied"),
        ("credentials of s3", "aws_access_denied"),
        ("no_bucket of s3", "network_error"),
        ("unknown", ""),
    ],
)
def test_a_failed_fetch_is_sorted_by_its_kind(taxonomy: dict[str, Any], kind: str, expected: str) -> None:
    kind, _, storage = kind.partition(" of ")
    url = f"{storage or 'https'}://example.org/x.tar"
    fault = FetchFault(url=url, reason="so", may_pass=True, kind=kind)
    assert _class_of(taxonomy, _printed(Outcome.FETCH_FAILED, first_error=None, fetch_faults=[fault])) == expected


@pytest.mark.parametrize("outcome", [Outcome.BUILT, Outcome.ALREADY_THERE])
def test_a_success_is_in_no_class(taxonomy: dict[str, Any], outcome: Outcome) -> None:
    assert _class_of(taxonomy, _printed(outcome, first_error=None)) == ""
