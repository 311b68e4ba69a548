"""Prestarted processes: they are no part of the build, and know no secret until they are resumed."""

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from buildjob.agent import publish_process
from buildjob.agent.request import Target
from buildjob.buildcache.gpg.key_source import find_source
from buildjob.process import child
from buildjob.process.prestarted import Prestarted
from buildjob.spack import adapter
from tests.labs.build_cache import add_entry, installs
from tests.labs.s3.server import Server
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab

ECHO = ["/bin/sh", "-c", "read word; echo $word"]


def program(argv: list[str], folder: Path, **environment: str) -> child.Program:
    return child.Program(argv=argv, environment={"PATH": os.environ["PATH"], **environment}, folder=folder)


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Prestarted]:
    made = Prestarted(program(ECHO, tmp_path))
    yield made
    made.end()
    assert not made.pids


@pytest.fixture
def others(versitygw: Server) -> frozenset[int]:
    """The servers of other tests: they are children of this process as well."""
    del versitygw
    return frozenset(process.pid for process in psutil.Process().children())


def followed(program: Prestarted, line: bytes, tmp_path: Path, others: frozenset[int]) -> tuple[int, bytes]:
    with child.StopRequest() as stop, (tmp_path / "printed").open("wb") as log:
        until = child.Until(stop=stop, standby=lambda: others)
        ended = child.follow(program.resume(line), output=child.Output(log), until=until)
    return ended.exit_code, (tmp_path / "printed").read_bytes()


def run(what: child.Program, log: Path, standby: frozenset[int]) -> child.Ended:
    with child.StopRequest() as stop, log.open("wb") as file:
        return child.run(what, output=child.Output(file), until=child.Until(stop=stop, standby=lambda: standby))


@pytest.mark.usefixtures("subreaper")
def test_it_outlives_the_build_and_what_the_build_left_does_not(
    others: frozenset[int], echo: Prestarted, tmp_path: Path
) -> None:
    waiting = echo.start()
    left = "sleep 1000 & until grep -qx sleep /proc/$!/comm; do :; done; echo $!"
    ended = run(program(["/bin/sh", "-c", left], tmp_path), tmp_path / "log", others | echo.pids)
    assert ended.leftovers == ["sleep"]
    assert not psutil.pid_exists(int((tmp_path / "log").read_text()))
    assert echo.start() == waiting, "it is started once"
    assert followed(echo, b"now", tmp_path, others) == (0, b"now\n")


def test_one_that_was_killed_is_started_again(others: frozenset[int], echo: Prestarted, tmp_path: Path) -> None:
    first = psutil.Process(echo.start())
    first.kill()
    psutil.wait_procs([first], timeout=60)
    assert followed(echo, b"now", tmp_path, others) == (0, b"now\n")


def test_one_that_is_not_needed_is_ended(echo: Prestarted) -> None:
    waiting = psutil.Process(echo.start())
    echo.end()
    assert not waiting.is_running()


def test_the_process_that_pushes_knows_no_secret_until_it_is_resumed(
    versitygw: Server, others: frozenset[int], credentials: None, key: Key, tmp_path: Path
) -> None:
    del credentials
    add_entry(tmp_path / "unsigned", "app", ["gmake"])
    store = versitygw.store(f"s3://{versitygw.bucket()}/x")
    target = Target(url=store.url, folder=None, signing_key_file=find_source(str(key.secret), "--signing-key-file"))
    argv = publish_process.push_argv(target, tmp_path / "unsigned", private=False, variables={})
    pushing = Prestarted(program(argv, tmp_path, HOME="/nonexistent"))
    pid = pushing.start()
    assert versitygw.secret_key not in Path(f"/proc/{pid}/environ").read_text()
    variables = {"PATH": os.environ["PATH"], "SPACK_FARM_PUBLISH_PATH_STYLE": "true", **versitygw.environment}
    code, printed = followed(pushing, publish_process.push_input(target, variables), tmp_path, others)
    assert code == 0, printed
    assert publish_process.pushed(code, printed, dag_hash="", begun=0.0).url.startswith(store.url)
    assert len(installs(store)) == 3


def test_one_that_gets_no_input_does_nothing(others: frozenset[int], tmp_path: Path) -> None:
    target = Target(url="s3://nowhere/x", folder=None, signing_key_file=None)
    ended = run(
        program(publish_process.push_argv(target, tmp_path, private=False, variables={}), tmp_path), tmp_path / "log", others
    )
    assert (ended.exit_code, (tmp_path / "log").read_bytes()) == (0, b"")


@pytest.mark.spack
def test_spack_that_cannot_pack_says_why_in_one_line(others: frozenset[int], lab: SpackLab, tmp_path: Path) -> None:
    script = Path(adapter.__file__).parent / "inside" / "pack.py"
    word = json.dumps({"url": (tmp_path / "u").as_uri(), "pack": ["a" * 32], "copied": [], "left_out": [], "private": False})
    piped = f"echo {shlex.quote(word)} | {lab.spack.program} -C {lab.scope} python {script}"
    packing = child.Program(argv=["/bin/sh", "-c", piped], environment=lab.environment, folder=tmp_path)
    ended = run(packing, tmp_path / "log", others)
    assert ended.exit_code == 1
    assert (tmp_path / "log").read_text() == f"==> Error: /{'a' * 32} is not installed\n"
