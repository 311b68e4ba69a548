"""Which builds sizes are computed from: the agent's word before the driver's, and none without a trusted place."""

import json
from collections.abc import Iterator
from typing import Any, cast

from sizing.builds import Build
from sizing.documents import read_build
from sizing.history.history import History
from sizing.observations import PolicySettings
from sizing.training import training
from tests.labs.sizing import NOW, document


class Kept:
    """Stands for a history: holds builds."""

    def __init__(self, *made: dict[str, Any]) -> None:
        self._builds = [read_build(json.dumps(each).encode(), trusted=True, now=NOW) for each in made]

    def builds(self, *, since: float) -> Iterator[Build]:
        """Yield those that ended since a time."""
        return (build for build in self._builds if build.ended >= since)


def outcomes(*made: dict[str, Any]) -> list[str]:
    kept = cast("History", Kept(*made))
    return [seen.outcome for seen in training(kept, now=NOW, settings=PolicySettings())]


def without_job(made: dict[str, Any]) -> dict[str, Any]:
    del made["job"]
    return made


def test_of_a_build_that_both_describe_the_agents_word_counts() -> None:
    assert outcomes(document(), document(outcome="script_succeeded")) == ["built"]
    assert outcomes(document(outcome="script_succeeded")) == ["script_succeeded"]


def test_documents_that_name_no_job_are_builds_of_their_own() -> None:
    assert outcomes(without_job(document()), without_job(document(outcome="script_succeeded"))) == [
        "built",
        "script_succeeded",
    ]
