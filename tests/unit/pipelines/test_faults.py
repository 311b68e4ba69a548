"""Faults of written pipelines beyond GitLab's schema."""

from typing import Any

import pytest

from pipelines.inside.gitlab.limits import Limits
from pipelines.reports.faults import Rules, faults, quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16), ("500m", 0.5), ("64G", 64e9), ("64Gi", 64 * 2**30), ("1.5", 1.5), (" 2 ", 2),
        ("", None), ("two", None), ("5X", None), ("-1", None), ("$SIZE", None), ("1e3", None),
    ],
)  # fmt: skip
def test_quantities_are_those_of_kubernetes(text: str, value: float | None) -> None:
    assert quantity(text) == (None if value is None else pytest.approx(value))


def of(job: dict[str, Any], **rules: Any) -> list[str]:
    document = {"stages": ["build"], ".shared": {"variables": {"KUBERNETES_CPU_REQUEST": "99"}}, "a": job}
    return faults({"p.yml": document}, Rules(**rules))


@pytest.mark.parametrize(
    ("job", "rules", "expected"),
    [
        ({"tags": ["spack", "$TAG"]}, {"tags": frozenset({"spack"})}, []),
        ({"tags": ["spak"]}, {"tags": frozenset({"spack"})}, ["p.yml: a: no runner has the tag spak"]),
        ({"tags": ["spak"]}, {}, []),
        (
            {"variables": {"KUBERNETES_MEMORY_REQUEST": "65G"}},
            {"most": {"memory": 64e9}},
            ["p.yml: a: KUBERNETES_MEMORY_REQUEST is 65G, more than the 6.4e+10 that a job may ask for"],
        ),
        ({"variables": {"KUBERNETES_MEMORY_REQUEST": "$BIG"}}, {"most": {"memory": 1}}, []),
        (
            {"variables": {"KUBERNETES_MEMORY_LIMIT": {"value": "5X"}}},
            {},
            ["p.yml: a: KUBERNETES_MEMORY_LIMIT is '5X', which is no quantity"],
        ),
        (
            {"extends": ".shared"},
            {"most": {"CPU": 16}},
            ["p.yml: a: KUBERNETES_CPU_REQUEST is 99, more than the 16 that a job may ask for"],
        ),
        ({"extends": [".shared"], "variables": {"KUBERNETES_CPU_REQUEST": "4"}}, {"most": {"CPU": 16}}, []),
        ({"needs": [{"job": "b"}]}, {}, ["p.yml: a: needs b, which is no job of this pipeline"]),
        ({"needs": ["a"]}, {"limits": Limits(needs=0)}, ["p.yml: a: 1 needs; at most 0"]),
    ],
)
def test_a_fault_names_document_job_and_value(job: dict[str, Any], rules: dict[str, Any], expected: list[str]) -> None:
    assert of({"script": ["true"]} | job, **rules) == expected


def test_names_that_are_hostile_stay_one_line() -> None:
    found = faults({"p.yml": {"a\n\x1b[31mb": {"tags": ["x"]}}}, Rules(tags=frozenset()))
    assert found == ["p.yml: a ?[31mb: no runner has the tag x"]
