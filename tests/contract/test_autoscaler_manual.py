"""docs/autoscaler.md names every setting, every option of the verbs, every metric and every reason to wait."""

import argparse
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

from autoscaler.cli.arguments import parser
from autoscaler.lookahead.gitlab import GitLab
from autoscaler.scale_plan import WaitReason
from autoscaler.service.metrics import Metrics
from autoscaler.service.settings import Service
from autoscaler.settings import PoolTable, SettingsFile, TypeTable
from autoscaler.simulator.workload import Conditions
from tests.labs.checkout import ROOT

MANUAL = (ROOT / "docs/autoscaler.md").read_text("utf-8")


def settings(kind: Any, before: str = "") -> Iterator[str]:
    """Yield the keys of a table of settings and of tables in it, with their places."""
    for field in msgspec.structs.fields(kind):
        yield f"{before}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct) and field.type.__module__ != "builtins":
            yield from settings(field.type, f"{before}{field.name}.")


KEYS = sorted(
    {*settings(SettingsFile), *settings(PoolTable, "pools."), *settings(TypeTable, "types."), *settings(Service, "service.")}
    | {f"service.gitlab.{name}" for name in GitLab.__struct_fields__}
    | {f"conditions.{name}" for name in Conditions.__dataclass_fields__}
)


@pytest.mark.parametrize("key", KEYS)
def test_the_manual_names_each_setting(key: str) -> None:
    assert key.rpartition(".")[2] in MANUAL


def test_the_manual_names_each_metric() -> None:
    families = [one.name for one in Metrics({}).registry.collect()]
    assert len(families) > 15
    assert [name for name in families if name.removeprefix("spack_farm_") not in MANUAL] == []


@pytest.mark.parametrize("reason", [one for one in get_args(WaitReason) if one != "quota"])
def test_the_manual_says_what_each_reason_to_wait_means(reason: str) -> None:
    assert f"`{reason}`" in MANUAL


def test_the_manual_names_each_verb_and_what_is_peculiar_to_it() -> None:
    verbs: dict[str, argparse.ArgumentParser] = {}
    for action in parser()._actions:  # noqa: SLF001  argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            verbs |= action.choices
    options = {
        option
        for one in verbs.values()
        for action in one._actions  # noqa: SLF001
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    assert [verb for verb in verbs if verb not in MANUAL] == []
    assert sorted(option for option in options if option not in MANUAL) == []
