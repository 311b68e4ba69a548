"""A push to S3 that is killed at every single request in turn, before the server has done it and after."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import index, push, push_record
from buildjob.buildcache.indexing import pending_pushes
from buildjob.buildcache.storage.store import Store
from tests.labs.build_cache import add_entry, as_it_is, consistent, dag_hash, expected, installs
from tests.labs.checkout import ROOT
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server

# boto3 is loaded once; each push is a process of its own, as it is for users
PUSHES = """
import json, os, sys
import buildjob.buildcache.push, buildjob.buildcache.storage.s3_fast_path
from buildjob.cli.publish import main
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os._exit(main(json.loads(line)))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
THERE = {"old": ["gmake"]}
ALL = THERE | {"new": ["gmake", "lib"]}


class Killer:
    """Kills the process that pushes when its request number `step` comes, before or after the server has done it."""

    def __init__(self, *, after: bool) -> None:
        self._after = after
        self._known = threading.Event()
        self._counting = threading.Lock()
        self.done = threading.Event()
        self.begin(0)

    def begin(self, step: int) -> None:
        self._step, self._seen, self._pid = step, 0, 0
        self._known.clear()
        self.done.clear()

    def aim(self, pid: int) -> None:
        self._pid = pid
        self._known.set()

    def fault(self, request: Any) -> bool:
        with self._counting:
            self._seen += 1
            mine = self._seen == self._step
        if not mine:
            return False
        self._known.wait(60)
        os.kill(self._pid, signal.SIGKILL)
        if self._after:
            request.swallow, request.lost = True, self.done.set
            return False
        request.close_connection = True
        self.done.set()
        return True


@pytest.fixture
def pushes() -> Iterator["subprocess.Popen[str]"]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    environment |= {"SPACK_FARM_PUBLISH_PATH_STYLE": "true"} | Server("any", "").environment
    for name in ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"):
        del environment[name]
    with subprocess.Popen(
        [sys.executable, "-c", PUSHES], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        yield process
        assert process.stdin
        process.stdin.close()


def indexed(store: Store) -> set[str]:
    """The names of the binaries in the index, which is what Spack would make of exactly these."""
    seen = installs(store)
    names = {name for name in ALL if seen.get(dag_hash(name), {}).get("in_buildcache")}
    assert seen == expected({name: ALL[name] for name in names})
    return names


@pytest.mark.timeout(400)
@pytest.mark.parametrize("after", [False, True], ids=["before it is done", "after it is done"])
def test_a_kill_at_any_request_leaves_a_consistent_build_cache_and_a_second_run_finishes(
    versitygw: Server, credentials: None, pushes: "subprocess.Popen[str]", tmp_path: Path, *, after: bool
) -> None:
    del credentials
    assert pushes.stdin
    assert pushes.stdout
    for name, needed in ALL.items():
        add_entry(tmp_path / ("old" if name in THERE else "new"), name, needed)
    store = versitygw.store(f"s3://{versitygw.bucket()}/x")
    killer = Killer(after=after)
    appeared: set[int] = set()
    with in_front_of(versitygw, killer.fault) as front:
        for step in range(1, 1000):
            for seen in store.list(""):
                store.delete(seen.key)
            push.publish(tmp_path / "old", store, sign=as_it_is)
            killer.begin(step)
            arguments = ["--unsigned", "--connections", "1", "--endpoint-url", front.url]
            pushes.stdin.write(json.dumps(["push", str(tmp_path / "new"), store.url, *arguments]) + "\n")
            pushes.stdin.flush()
            killer.aim(int(pushes.stdout.readline()))
            ended = int(pushes.stdout.readline())
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            assert killer.done.wait(60)
            there = consistent(store)
            appeared.add(there)
            names = indexed(store)
            assert THERE.keys() <= names
            if there > len(names):
                index.update(store, pending_pushes.Known(), index.IndexOptions())
                assert len(indexed(store)) == there, "whoever comes next finds the announcement of what is there"
            push.publish(tmp_path / "new", store, sign=as_it_is)
            assert consistent(store) == len(ALL)
            assert installs(store) == expected(ALL)
            assert not list(push_record.pending(store))
    assert appeared == {len(THERE), len(ALL)}
    assert step > 16, "each request was an instant to die"
