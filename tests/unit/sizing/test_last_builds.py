"""The last build of each spec: which one counts, and the document that others read."""

import json
from typing import Any

import jsonschema

from sizing.builds import Build
from sizing.documents import read_build
from sizing.last_builds import document as written
from sizing.last_builds import last_builds
from tests.labs.checkout import ROOT
from tests.labs.sizing import DAY, NOW, document


def builds(*made: dict[str, Any]) -> list[Build]:
    found = [read_build(json.dumps(each).encode(), trusted=True, now=NOW) for each in made]
    return sorted(found, key=lambda build: build.ended)


def outcomes(*made: dict[str, Any]) -> list[str]:
    return [build.outcome for build in last_builds(builds(*made)).values()]


def test_the_build_that_ended_last_counts() -> None:
    older = document(ended=NOW - 2 * DAY, outcome="build_failed")
    assert outcomes(older, document()) == ["built"]
    assert outcomes(document(ended=NOW - 3 * DAY), older) == ["build_failed"]
    assert outcomes(document("zlib"), document("hdf5", outcome="build_failed")) == ["built", "build_failed"]


def test_the_drivers_word_counts_only_where_the_agents_is_missing() -> None:
    driver = document(outcome="script_failed", ended=NOW - DAY + 5)
    assert outcomes(document(), driver) == ["built"]
    assert outcomes(driver) == ["script_failed"]
    assert outcomes(document(), document(outcome="script_failed", ended=NOW, job={"id": "2"})) == ["script_failed"]


def test_a_build_without_a_hash_is_left_out() -> None:
    assert outcomes(document(spec={"hash": ""})) == []


def test_the_document_keeps_to_its_schema_and_has_a_build_a_line() -> None:
    found = last_builds(builds(document("zlib"), document("hdf5")))
    text = written(found, now=NOW)
    made = json.loads(text)
    jsonschema.validate(made, json.loads((ROOT / "docs/reference/last-builds.schema.json").read_text()))
    assert (made["made_at"], len(made["builds"])) == ("2026-11-30T03:00:00.000Z", 2)
    assert len(text.splitlines()) == 4
    assert json.loads(written({}, now=NOW))["builds"] == {}
