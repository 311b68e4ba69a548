"""Clause: the alerts of deploy/alerts fire for what they name and for nothing else, by Prometheus's own tool."""

import re
import shutil
import subprocess

import pytest

from executor import metrics
from tests.labs.checkout import ROOT

ALERTS = ROOT / "deploy/alerts"


def test_each_alert_is_about_counters_that_the_driver_writes() -> None:
    named = set(re.findall(r"spack_farm_\w+", (ALERTS / "driver.rules.yaml").read_text()))
    assert named
    assert named <= set(metrics.HELP)


def test_each_alert_has_a_test_of_when_it_fires() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (ALERTS / "driver.rules.yaml").read_text()))
    assert alerts
    assert alerts == set(re.findall(r"\bSpackFarm\w+", (ALERTS / "driver.test.yaml").read_text()))


@pytest.mark.parametrize("words", [("check", "rules", "driver.rules.yaml"), ("test", "rules", "driver.test.yaml")])
def test_promtool_takes_the_rules_and_they_fire_as_their_tests_say(words: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    done = subprocess.run([promtool, *words], cwd=ALERTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
