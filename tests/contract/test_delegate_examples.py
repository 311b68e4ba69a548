"""Clause: examples/delegate and docs/delegate.md work as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from tests.labs.checkout import ROOT
from tests.labs.delegate import Program, kill_group_of, running_gateway

PAGES = {"example": ROOT / "examples/delegate/README.md", "manual": ROOT / "docs/delegate.md"}


def programs(folder: Path) -> dict[str, str]:
    """Return the variables of a shell that has `spack-farm` as after an installation."""
    path = folder / "bin/spack-farm"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m spack_farm "$@"\n')
    path.chmod(0o755)
    return {"PATH": f"{path.parent}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("page", "worker", "client"),
    [("example", "sort -rn", "LICENSE"), ("example", "ctest-convert", "make"), ("manual", "-- sort &", "pear")],
)
def test_the_commands_of_a_page_do_what_it_says(tmp_path: Path, page: str, worker: str, client: str) -> None:
    text = PAGES[page].read_text().replace(" \\\n", " ")
    commands = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    start = next(each for each in commands if worker in each and "worker.py" in each)
    ask = next(each for each in commands if client in each and "8080/v1/run" in each)
    variables = programs(tmp_path)
    with running_gateway(tmp_path) as gateway:
        start = start.removesuffix(" &").replace("/tmp/gateway.sock", str(gateway.socket))
        running = Program(["sh", "-c", f"cd {ROOT}; exec {start}"], tmp_path, **variables)
        try:
            gateway.until_ready()
            (tmp_path / "Makefile").write_text("all:\n\t@echo 'x.c:3:1: error: no such thing'; exit 1\n")
            (tmp_path / "LICENSE").write_text("the license and the the words and\n")
            ask = ask.replace("http://127.0.0.1:8080", gateway.url)
            done = subprocess.run(["sh", "-c", ask], cwd=tmp_path, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
        finally:
            kill_group_of(running)
    if worker == "ctest-convert":
        site = etree.fromstring(done.stdout)
        assert (site.get("Name"), site.get("BuildName"), len(site.findall(".//Error"))) == ("laptop", "mine", 2)
    elif page == "example":
        assert done.stdout.split()[:4] == [b"3", b"the", b"2", b"and"]
    else:
        assert done.stdout == b"apple\npear\n"


@pytest.mark.parametrize("query", ["site=a;reboot", "site=$(id)", "site=%00", "site=" + "x" * 101, "", "=&&=", "site=a\\nb"])
def test_a_query_that_is_no_name_is_not_used(tmp_path: Path, query: str) -> None:
    log = b"x.c:3:1: error: no such thing\n"
    variables = programs(tmp_path) | {"DELEGATE_QUERY": query, "DELEGATE_HEADERS_FILE": str(tmp_path / "headers")}
    done = subprocess.run(
        [ROOT / "examples/delegate/ctest-convert"], cwd=tmp_path, env=variables, input=log, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert etree.fromstring(done.stdout).get("Name") == "delegate"
    assert (tmp_path / "headers").read_text() == "Content-Type: text/xml\n"
