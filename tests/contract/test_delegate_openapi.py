"""Clause: the gateway serves its OpenAPI document, and that is true: schemathesis asks it whatever the document allows."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from delegate.openapi import document
from delegate.settings import read_settings
from tests.labs.delegate import running_gateway, running_worker

COMMAND = "read -r what; case $what in *a*) exit 3 ;; *b*) exit 75 ;; *c*) kill -9 $$ ;; esac; echo answer"


@pytest.mark.parametrize("fingerprint", [(), ("--fingerprint", "echo one")], ids=["one step", "two steps"])
def test_the_gateway_does_what_its_document_says(tmp_path: Path, fingerprint: tuple[str, ...]) -> None:
    with (
        running_gateway(tmp_path, body_bytes=10_000, quarantine_seconds=0) as gateway,
        running_worker(gateway, COMMAND, options=fingerprint),
    ):
        argv: list[str | Path] = [Path(sys.executable).with_name("schemathesis"), "run", f"{gateway.url}/openapi.json"]
        argv += ["--seed", "1", "--generation-deterministic", "--max-examples", "5", "--exclude-path-regex", "/log$"]
        argv += [
            "--phases",
            "examples,coverage,fuzzing",
            "--exclude-checks",
            "not_a_server_error",
            "--request-timeout",
            "30",
        ]
        # 502, 503 and 504 are promises of a gateway; a 500 is in no document, and is found by that
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-6000:]
        assert gateway.process.poll() is None
        assert "Traceback" not in gateway.said


def test_the_document_names_each_status_of_each_address_once() -> None:
    made = json.loads(json.dumps(document(read_settings(None, {}, {}))))
    assert made["openapi"] == "3.1.0"
    operations = [
        each["operationId"] for path in made["paths"].values() for name, each in path.items() if name != "parameters"
    ]
    assert len(set(operations)) == len(operations) == 10
    for schema in made["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
