"""Clause: only a mirror in S3 costs boto3, and never in the process that builds (house style, section 8)."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from buildjob.cli.publish_options import Arguments

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("boto3", "botocore", "gnupg", "lxml", "requests", "kubernetes")


@pytest.mark.parametrize(
    "code",
    [
        "import buildjob.agent.build",
        "import buildjob.cli.publish; buildjob.cli.publish.parser()",
        "import buildjob.cli.publish_push, buildjob.cli.publish_verify, buildjob.cli.publish_notarize",
        "import buildjob.buildcache.push, buildjob.buildcache.index, buildjob.buildcache.storage.folder",
        "from buildjob.buildcache.storage.open import *; open_store('/nonexistent', Access())",
    ],
)
def test_a_folder_and_a_build_load_nothing_heavy(code: str) -> None:
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stdout.split())


def test_help_loads_neither_a_verb_nor_storage() -> None:
    program = "import buildjob.cli.publish, sys; buildjob.cli.publish.parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.startswith("buildjob.buildcache")]
    verbs = {name for name in done.stdout.split() if name.startswith("buildjob.cli.")}
    assert verbs == {"buildjob.cli.publish", "buildjob.cli.publish_options"}


@pytest.mark.parametrize("verb", get_args(get_type_hints(Arguments)["verb"]))
def test_each_verb_has_its_module(verb: str) -> None:
    assert callable(importlib.import_module(f"buildjob.cli.publish_{verb}").run)
