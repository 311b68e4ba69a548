"""A program for `test_workers`: runs a case's tasks in processes; prints the results or the error, and how many are left.

pytest's own process cannot be forked: an earlier test may have left a thread.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable

import psutil

from buildjob.buildcache.workers import in_processes
from buildjob.errors import Conflict, PublishError

TASKS = [f"task {number}" for number in range(300)]
Work = Callable[[str], int]


def failing(error: BaseException) -> Work:
    def work(task: str) -> int:
        if task == TASKS[100]:
            raise error
        return len(task)

    return work


def dying(task: str) -> int:
    if task == TASKS[100]:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(task)


def sleeping(_task: str) -> int:
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(1000)
    return 0


def noting(task: str) -> int:
    with open("taken", "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(task + "\n")
    return len(task)


WORKS: dict[str, Work] = {
    "all is well": len,
    "in their order": noting,
    "a conflict": failing(Conflict("somebody else")),
    "a full disk": failing(OSError(28, "No space left on device", "/a/file")),
    "a bug": failing(KeyError("a bug")),
    "an exit": failing(SystemExit(3)),
    "a kill": dying,
    "sleep": sleeping,
}


def prepare(case: str) -> Work:
    if case == "nothing can be prepared":
        raise PublishError("no credentials")
    return WORKS[case]


def main(case: str, processes: str, threads: str, count: str) -> None:
    result: dict[str, object] = {}
    results = in_processes(TASKS[: int(count)], lambda: prepare(case), processes=int(processes), threads=int(threads))
    try:
        if case == "all is well" and count == "200":  # enough after the first
            with contextlib.closing(results):
                next(results)
        else:
            result["results"] = dict(results)
    except Exception as error:  # noqa: BLE001  it is what the test asks for
        result |= {"kind": type(error).__name__, "text": str(error)}
        result["file"] = getattr(error, "filename", None)
    result["left"] = len(psutil.Process().children(recursive=True))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
