"""The Runner's own file: each mistake in the complete example is found, and the example itself has none."""

import copy
import tomllib
from typing import Any

import pytest

from executor.checks import runner_file
from executor.checks.finding import Kind
from executor.settings import load_settings
from tests.labs.checkout import ROOT

SETTINGS_FILE = "/etc/spack-farm/settings.toml"
EXAMPLE = tomllib.loads((ROOT / "config.toml.example").read_text())
EXAMPLE["runners"][0] |= {"url": "https://gitlab.site", "token": "glrt-x"}


def lines(document: dict[str, Any], *, missing: str = "") -> list[str]:
    """Return what is found, but what is well; programs in a path with `missing` cannot be started."""
    found = runner_file.check(
        document, load_settings(None), settings_file=SETTINGS_FILE,
        locate=lambda program: "there is no such file" if missing and missing in program else "",
    )  # fmt: skip
    return [f"{finding.kind.mark.strip()} {finding.text}" for finding in found if finding.kind is not Kind.OK]


def changed(where: str, value: object) -> dict[str, Any]:
    """Return the example with one value changed: `custom.run_exec`, of the whole file with `/`; None deletes it."""
    document: Any = copy.deepcopy(EXAMPLE)
    table: Any = document if where.startswith("/") else document["runners"][0]
    *path, key = where.removeprefix("/").split(".")
    for part in path:
        table = table[part]
    table.pop(key, None)
    if value is not None:
        table[key] = value
    return dict(document)


def test_the_example_with_a_token_of_its_own_fits() -> None:
    assert lines(EXAMPLE) == []
    found = runner_file.check(EXAMPLE, load_settings(None), settings_file=SETTINGS_FILE, locate=lambda _: "")
    assert [finding.kind for finding in found] == [Kind.OK]


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("executor", "kubernetes", 'FIX no runner has executor = "custom"; executors: kubernetes'),
        ("executor", None, "executors: None"),
        ("/runners", [], "executors: none"),
        ("/runners", {"executor": "custom"}, "FIX `runners` is not a list of tables"),
        ("/runners", ["custom"], "FIX `runners` is not a list of tables"),
        ("/runners", 3, "FIX `runners` is not a list of tables"),
        ("custom", None, "FIX it has no table [runners.custom]"),
        ("custom", [], "FIX it has no table [runners.custom]"),
        ("custom.prepare_exec", None, "FIX custom.prepare_exec is missing"),
        ("custom.config_exec", "", "FIX custom.config_exec is missing"),
        ("custom.run_exec", "/opt/gone/spack-farm", "FIX custom.run_exec /opt/gone/spack-farm: there is no such file"),
        ("custom.run_exec", ["spack-farm"], "FIX custom.run_exec is missing"),
        ("custom.run_args", "executor run", "FIX custom.run_args is not a list of texts"),
        ("custom.run_args", ["executor", 3], "FIX custom.run_args is not a list of texts"),
        ("custom.run_args", ["executor", "prepare", "--config", SETTINGS_FILE], "FIX custom.run_args call the verb prepare"),
        ("custom.run_args", ["executor", "run"], "FIX custom.run_args have no --config"),
        ("custom.run_args", ["executor", "run", "--config"], "FIX custom.run_args have no --config"),
        ("custom.run_args", ["executor", "run", "--config", "/etc/other.toml"], "name other settings, /etc/other.toml"),
        ("custom.run_args", ["executor", "run", "--config=/etc/other.toml"], "name other settings, /etc/other.toml"),
        ("custom.run_args", [], "note custom.run_args do not name the verb; is spack-farm a script that does?"),
        ("custom.prepare_exec_timeout", 600, "prepare_exec_timeout is 600 s: the Runner ends `prepare`"),
        ("custom.prepare_exec_timeout", "1h", None),
        ("custom.prepare_exec_timeout", -1, None),
        ("custom.prepare_exec_timeout", "soon", "FIX prepare_exec_timeout 'soon' is not a time"),
        ("custom.prepare_exec_timeout", True, "FIX prepare_exec_timeout True is not a time"),
        ("prepare_timeout", "10m", "prepare_timeout is 600 s, and `prepare` may wait up to 2340 s"),
        ("prepare_timeout", "1h30m", None),
        ("custom.cleanup_exec_timeout", 30, "cleanup_exec_timeout is 30 s: pods stay"),
        ("custom.config_exec_timeout", 1, "config_exec_timeout is 1 s"),
        ("custom.graceful_kill_timeout", 20, "graceful_kill_timeout is 20 s: the driver is killed before"),
        ("custom.graceful_kill_timeout", None, "shutdown_timeout is 90 s"),  # the Runner's default is 600 s
        ("/shutdown_timeout", None, "shutdown_timeout is 30 s"),
        ("/shutdown_timeout", 70, "shutdown_timeout is 70 s"),
        ("/concurrent", 1, "note concurrent is 1: one job at a time"),
        ("/concurrent", None, "note concurrent is 1: one job at a time"),
        ("custom.gracefull_kill_timeout", 60, "custom.gracefull_kill_timeout is not a key of the Runner"),
        ("custom_build_dir", None, "FIX custom_build_dir is not enabled"),
        ("custom_build_dir", {"enabled": False}, "FIX custom_build_dir is not enabled"),
        ("custom_build_dir", "yes", "FIX custom_build_dir is not enabled"),
        ("builds_dir", "/home/builds", "FIX builds_dir is '/home/builds', and '/builds' in the driver's settings"),
        ("builds_dir", None, None),
        ("cache_dir", "/var/cache", "FIX cache_dir is '/var/cache'"),
        ("shell", "pwsh", "FIX shell is 'pwsh'"),
        ("token", "glrt-REPLACE-ME", "FIX token is still the one of the example"),
        ("token", "", "FIX token is missing"),
        ("url", "https://gitlab.example.com", "FIX url is still the one of the example"),
        ("url", 3, "FIX url is missing"),
        ("name", "x" * 3, None),
    ],
)
def test_one_wrong_value_is_found_and_nothing_else(where: str, value: object, said: str | None) -> None:
    found = lines(changed(where, value), missing="/gone/")
    assert len(found) == (said is not None), found
    if said is not None:
        assert said in found[0]


def test_each_fault_says_what_to_write_instead() -> None:
    found = list(
        runner_file.check(
            changed("custom.gracefull_kill_timeout", 60), load_settings(None), settings_file=SETTINGS_FILE, locate=str
        )
    )
    assert all(finding.advice for finding in found)
    assert found[0].advice == "did you mean graceful_kill_timeout?"


def test_two_runners_are_told_apart_by_their_names() -> None:
    document = copy.deepcopy(EXAMPLE)
    document["runners"].append(copy.deepcopy(document["runners"][0]) | {"name": "second", "shell": "pwsh"})
    found = list(runner_file.check(document, load_settings(None), settings_file=SETTINGS_FILE, locate=lambda _: ""))
    assert [(finding.subject, finding.kind) for finding in found] == [
        ("runner spack-farm", Kind.OK), ("runner second", Kind.BAD_FILE)
    ]  # fmt: skip
