"""Clause: the driver's settings. Defaults are whole, faults are told with their paths, the page is current."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from executor.errors import SettingsError
from executor.settings import DEFAULTS, TABLES, Settings, ignored_keys, load_settings
from executor.unsupported_keys import IGNORED, REJECTED

ROOT = Path(__file__).resolve().parents[2]


def faults(tmp_path: Path, text: str) -> str:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(path)
    return str(raised.value)


def test_the_defaults_are_whole_no_key_missing_or_extra() -> None:
    document = tomllib.loads(DEFAULTS.read_text("utf-8"))
    for name, table in TABLES.items():
        assert set(document[name] if name else document) == set(table.__struct_fields__)
    assert msgspec.convert(document, Settings) == load_settings(None)


def test_a_file_overrides_the_defaults_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('cancel_seconds = 3\n[kubernetes]\nmemory_request = "2Gi"\n[kubernetes.pod_labels]\nteam = "a"\n')
    settings = load_settings(path)
    assert (settings.cancel_seconds, settings.kubernetes.memory_request) == (3, "2Gi")
    assert settings.kubernetes.pod_labels == {"team": "a"}
    assert settings.budgets == load_settings(None).budgets


def test_every_fault_of_a_file_is_told_in_one_message_with_its_path(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        'oversized = "clamp"\ncancel_seconds = "soon"\n[kubernetes]\nmemory_limit = "12 GB"\nnamespce = "x"\n'
        'cpu_request = "-1"\n[budgets]\npull_seconds = 1.5\n[memory]\nkill = "never"\n',
    )
    for words in (
        "unknown key oversized", "cancel_seconds: Expected `int`, got `str`", "memory_limit: '12 GB' is not a quantity",
        "unknown key kubernetes.namespce", "kubernetes.cpu_request: '-1' is negative", "budgets.pull_seconds: ",
        "memory.kill: ",
    ):  # fmt: skip
        assert words in told


def test_official_keys_that_are_lacking_are_named_together_each_with_what_becomes_of_it(
    tmp_path: Path,
) -> None:
    told = faults(tmp_path, '[kubernetes]\npoll_timeout = 180\npoll_interval = 3\nservices = [{name = "a"}]\n')
    (message,) = [part for part in told.split("; ") if "official" in part]
    assert "kubernetes.poll_timeout rejected, because `[budgets]`" in message
    assert "kubernetes.services rejected, because it is not built yet" in message
    assert "kubernetes.poll_interval ignored, because the pod is watched" in message


def test_a_file_with_ignored_keys_alone_is_accepted_and_they_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[kubernetes]\npoll_interval = 3\nretry_limit = 5\n")
    load_settings(path)
    assert [text.partition(" ")[0] for text in ignored_keys(path)] == ["kubernetes.poll_interval", "kubernetes.retry_limit"]


KEYS: dict[str, str] = json.loads((ROOT / "tests/data/official_executor/keys.json").read_text())["keys"]
VALUES = {
    "string": ['"a"'], "string or list of strings": ['"always"', '["if-not-present"]', '["always", "if-not-present"]'],
    "boolean": ["true", "false"], "integer": ["100"], "duration": ['"5m"', "300000000000"], "list of strings": ['["a"]'],
    "list of tables": ['[{name = "a"}]'], "table": ['{a = "b"}'], "table of strings": ['{a = "b"}'],
    "table of integers": ["{a = 1}"],
}  # fmt: skip
EMPTY = {
    "string": '""', "string or list of strings": "[]", "boolean": "false", "list of strings": "[]", "list of tables": "[]",
    "table": "{a = {}, b = [], c = false}", "table of strings": "{}", "table of integers": "{}",
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_official_executor_is_known_with_its_type(tmp_path: Path, key: str) -> None:
    path = tmp_path / "settings.toml"
    for value in VALUES[KEYS[key]]:
        text = (
            '"2Gi"' if re.search("memory|ephemeral|cpu", key) else '["always"]' if key == "allowed_pull_policies" else value
        )
        path.write_text(f"[kubernetes]\n{key} = {text}\n")
        if key in REJECTED and text != "false":
            assert faults(tmp_path, path.read_text()) == (
                f"{path}: keys of the official executor that this driver does not have: "
                f"kubernetes.{key} rejected, because {REJECTED[key]}"
            )
            continue
        if "cpu" in key and key not in IGNORED:
            path.write_text(f'[kubernetes]\n{key} = "500m"\n')
        load_settings(path)
        assert bool(ignored_keys(path)) == (key in IGNORED and text != "false")


def test_what_the_runner_writes_for_keys_that_are_not_set_is_accepted_without_a_word(tmp_path: Path) -> None:
    """The Runner rewrites its file from its own types: a table that is copied from there has many empty values."""
    path = tmp_path / "settings.toml"
    path.write_text("[kubernetes]\n" + "".join(f"{key} = {EMPTY[kind]}\n" for key, kind in KEYS.items() if kind in EMPTY))
    load_settings(path)
    assert ignored_keys(path) == []


def test_no_key_is_both_known_and_lacking_and_each_has_one_of_two_answers() -> None:
    known = set(get_type_hints(TABLES["kubernetes"]))
    assert not known & set(REJECTED)
    assert not known & set(IGNORED)
    assert not set(REJECTED) & set(IGNORED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("orphan_after_seconds = 100", "orphan_after_seconds must be longer than budgets.api_seconds"),
        ("[memory]\nstep_percent = 100", "memory.step_percent must be more than 100"),
        ("[budgets]\nquota_seconds = 0", "budgets.quota_seconds must be positive"),
        ("[kubernetes]\ncleanup_grace_period_seconds = 0", "kubernetes.cleanup_grace_period_seconds must be between"),
        ('builds_dir = "builds"', "builds_dir must be an absolute path"),
        ("kubernetes = 3", "kubernetes must be a table"),
        ("[kubernetes", "not TOML"),
    ],
)
def test_values_that_contradict_each_other_are_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in faults(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no-such-file"):
        load_settings(tmp_path / "no-such-file")


def test_the_page_of_the_settings_is_current() -> None:
    done = subprocess.run([ROOT / "scripts/docs", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
