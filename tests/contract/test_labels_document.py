"""Clause: architecture.md §4: the names of our labels and annotations are a document, docs/reference/labels.md."""

import re
from pathlib import Path

import msgspec

from executor import manifest, names, plan
from executor.job import Job, Variable
from executor.settings import Settings, load_settings
from executor.size_table import MeasuredSize
from executor.sizes import PastUse

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/labels.md").read_text()


def documented() -> set[str]:
    """Return the keys in the first columns of the page's tables; `/word` continues the key before it."""
    keys: set[str] = set()
    for row in re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE):
        first, *more = re.findall(r"`([^`]+)`", row)
        keys |= {first, *(first.rpartition("/")[0] + word for word in more)}
    return keys


def test_the_page_names_every_key_that_is_written_and_no_other() -> None:
    variables = [Variable(key, "a" * 32, public=True) for key in ("SPACK_FARM_GRAPH", "SPACK_FARM_GRAPH_JOB")]
    past = PastUse(measured=MeasuredSize(expected_seconds=1))
    made = plan.make_plan(Job(id=1, variables=variables), _settings(), {}, namespace="n", attempt="a", past=past).plan
    metadata = manifest.pod_manifest(made)["metadata"]
    assert documented() == {*metadata["labels"], *metadata["annotations"], names.OUTCOME}


def test_the_attempts_id_is_the_name_of_the_runners_folder_for_it() -> None:
    made = plan.make_plan(Job(id=1), _settings(), {}, namespace="n", attempt="custom-executor123").plan
    assert made.labels[names.ATTEMPT] == "custom-executor123"
    assert re.fullmatch(r"job-1-[0-9a-f]{16}", made.name)


def _settings() -> Settings:
    settings = load_settings(None)
    return msgspec.structs.replace(settings, kubernetes=msgspec.structs.replace(settings.kubernetes, image="x"))
