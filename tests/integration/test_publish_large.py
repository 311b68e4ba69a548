"""A push that is large enough for processes of its own: killed, stopped, and refused, as small ones are."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from buildjob.buildcache import push_record
from buildjob.buildcache.storage.store import Store
from tests.labs.build_cache import add_entry, consistent, expected, installs
from tests.labs.checkout import ROOT
from tests.labs.pushers import Pusher, pusher
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server
from tests.labs.spack.keys import Key

TREES = {f"p{number}": ["gmake"] for number in range(80)}


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    for name, needed in TREES.items():
        add_entry(tmp_path / "unsigned", name, needed)
    return tmp_path / "unsigned"


@pytest.fixture
def program(versitygw: Server) -> Iterator[Pusher]:
    environment = {"HOME": "/nonexistent", "SPACK_FARM_PUBLISH_PATH_STYLE": "true", **versitygw.environment}
    with pusher(environment) as made:
        yield made


class At:
    """Does something when a request comes, once."""

    def __init__(self, step: int) -> None:
        self.left = step

    def is_now(self) -> bool:
        self.left -= 1
        return self.left == 0


def check(store: Store) -> None:
    assert consistent(store) == len(TREES)
    assert installs(store) == expected(TREES)
    assert not list(push_record.pending(store))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", [4, 30, 150, 249])
def test_a_kill_leaves_a_consistent_build_cache_and_a_second_run_finishes(
    versitygw: Server, credentials: None, program: Pusher, unsigned: Path, step: int
) -> None:
    del credentials
    store = versitygw.store(f"s3://{versitygw.bucket()}/x")
    at = At(step)

    def fault(_request: Any) -> bool:
        if at.is_now():
            program.kill()
        return False

    arguments = ["push", str(unsigned), store.url, "--unsigned", "--connections", "4"]
    with in_front_of(versitygw, fault) as front:
        program.start([*arguments, "--endpoint-url", front.url], {})
        assert program.wait(120) == -signal.SIGKILL
    consistent(store)
    program.start(arguments, {})
    assert program.wait(120) == 0, program.stderr()
    check(store)


def test_what_the_server_refuses_in_one_process_is_one_error(
    versitygw: Server, program: Pusher, unsigned: Path, credentials: None
) -> None:
    del credentials
    store = versitygw.store(f"s3://{versitygw.bucket()}/x")

    def fault(request: Any) -> bool:
        if request.command != "PUT" or "/p40/" not in request.path:
            return False
        request.rfile.read(0)
        request.send_response_only(403)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    with in_front_of(versitygw, fault) as front:
        program.start(
            ["push", str(unsigned), store.url, "--unsigned", "--connections", "4", "--endpoint-url", front.url], {}
        )
        assert program.wait(120) == 100
    assert program.stderr().count("error: ") == 1
    assert "/p40/" in program.stderr()
    consistent(store)


def marked(mark: str) -> list[psutil.Process]:
    """Every process that has got this variable, directly or from one that had it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_stopped_leaves_neither_a_process_nor_the_key(
    versitygw: Server, key: Key, unsigned: Path, number: signal.Signals
) -> None:
    mark, homes, pid = secrets.token_hex(8), set[Path](), [0]
    at = At(60)

    def fault(_request: Any) -> bool:
        if at.is_now():
            for process in marked(mark):
                with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
                    arguments = process.cmdline()
                    if "--homedir" in arguments:
                        homes.add(Path(arguments[arguments.index("--homedir") + 1]))
            os.kill(pid[0], number)
        return False

    with in_front_of(versitygw, fault) as front:
        arguments = [unsigned, f"s3://{versitygw.bucket()}/x", "--signing-key-file", key.secret, "--endpoint-url", front.url]
        environment = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "SPACK_FARM_PUBLISH_PATH_STYLE": "true", "MARK": mark,
            **versitygw.environment,
        }  # fmt: skip
        with subprocess.Popen(
            [sys.executable, ROOT / "spack_farm/__main__.py", "publish", "push", *map(str, arguments)],
            env=environment,
            stderr=subprocess.PIPE,
        ) as child:
            pid[0] = child.pid
            _, said = child.communicate(timeout=100)
    assert child.returncode == 128 + number, said
    assert b"stopped; the build cache is consistent" in said
    assert homes
    assert not [home for home in homes if home.exists()]
    _, alive = psutil.wait_procs(marked(mark), timeout=30)
    assert not alive
