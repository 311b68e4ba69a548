"""What is wrong with written pipelines beyond GitLab's schema: limits, unknown tags, sizes over the farm's caps. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from pipelines.inside.gitlab.limits import Limits, job_names
from pipelines.inside.gitlab.limits import faults as limit_faults
from pipelines.inside.gitlab.names import plain

_UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")
_SIZES = {
    "CPU": ("KUBERNETES_CPU_REQUEST", "KUBERNETES_CPU_LIMIT"),
    "memory": ("KUBERNETES_MEMORY_REQUEST", "KUBERNETES_MEMORY_LIMIT"),
}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator allows; None allows anything."""

    limits: Limits = Limits()
    tags: frozenset[str] | None = None
    """Tags that runners have."""
    most: dict[str, float] = {}
    """`CPU` (cores) and `memory` (bytes) -> the most that a job may ask for."""


def faults(documents: Mapping[str, Mapping[str, Any]], rules: Rules) -> list[str]:
    """Return the faults, a line each: document, job, what is wrong."""
    found = [plain(fault) for fault in limit_faults(documents, rules.limits)]
    for path, document in documents.items():
        shared = document.get("variables")
        for name in job_names(document):
            job = document[name]
            if not isinstance(job, Mapping):
                continue
            variables = _variables(document, job, shared)
            found += [
                plain(f"{path}: {name}: {fault}") for fault in (*_tags(job, rules.tags), *_sizes(variables, rules.most))
            ]
    return found


def quantity(text: str) -> float | None:
    """Return a quantity of Kubernetes as a number; None if it is none, or a variable stands in it."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS:
        return None
    return float(found[1]) * _UNITS[found[2]]


def _variables(document: Mapping[str, Any], job: Mapping[str, Any], shared: object) -> dict[str, str]:
    """Return the variables of a job: the pipeline's, those of what it extends, its own."""
    found: dict[str, str] = {}
    extended = job.get("extends", [])
    names = [extended] if isinstance(extended, str) else extended
    parents = [document.get(name) for name in names]
    for source in (
        shared,
        *(parent.get("variables") for parent in parents if isinstance(parent, Mapping)),
        job.get("variables"),
    ):
        if isinstance(source, Mapping):
            found.update(
                {key: str(value.get("value", "") if isinstance(value, Mapping) else value) for key, value in source.items()}
            )
    return found


def _tags(job: Mapping[str, Any], known: Collection[str] | None) -> list[str]:
    tags = job.get("tags", [])
    if known is None or not isinstance(tags, list):
        return []
    return [f"no runner has the tag {tag}" for tag in tags if isinstance(tag, str) and "$" not in tag and tag not in known]


def _sizes(variables: Mapping[str, str], most: Mapping[str, float]) -> list[str]:
    found = []
    for kind, names in _SIZES.items():
        for name in names:
            text = variables.get(name, "")
            if not text or "$" in text:
                continue
            asked = quantity(text)
            if asked is None or asked <= 0:
                found.append(f"{name} is {text!r}, which is no quantity")
            elif kind in most and asked > most[kind]:
                found.append(f"{name} is {text}, more than the {most[kind]:g} that a job may ask for")
    return found
