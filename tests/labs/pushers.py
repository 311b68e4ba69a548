"""Programs that push, over and over: boto3 is loaded once, and each push is a process of its own, as it is for users."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.labs.checkout import ROOT

_PROGRAM = """
import json, os, sys
import buildjob.buildcache.push, buildjob.buildcache.storage.open
from buildjob.cli.publish import main
buildjob.buildcache.storage.open.load_for("s3:")
for line in sys.stdin:
    words, environment = json.loads(line)
    pid = os.fork()
    if not pid:
        os.environ.update(environment)
        os._exit(main(words))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Pusher:
    """One such program; one push at a time."""

    def __init__(self, process: "subprocess.Popen[str]", words: Path) -> None:
        self._process = process
        self._words = words
        self.pid = 0

    def start(self, words: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run `spack-farm publish` with these words in a process of its own; return its id."""
        assert self._process.stdin
        assert self._process.stdout
        self._words.write_bytes(b"")
        self._process.stdin.write(json.dumps([list(words), dict(environment)]) + "\n")
        self._process.stdin.flush()
        self.pid = int(self._process.stdout.readline())
        return self.pid

    def wait(self, within_seconds: float | None = None) -> int | None:
        """Return the exit code, negative for a signal; None if it runs longer."""
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], within_seconds)[0]:
            return None
        return int(self._process.stdout.readline())

    def kill(self) -> None:
        """Kill it (KILL); it is to be waited for."""
        os.kill(self.pid, signal.SIGKILL)

    def said(self) -> str:
        """What it wrote to its standard error."""
        return self._words.read_text(errors="replace")


@contextlib.contextmanager
def pusher(environment: Mapping[str, str]) -> Iterator[Pusher]:
    """Give a program that pushes, with this environment and no other."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-pusher-") as folder:
        words = Path(folder) / "stderr"
        with (
            words.open("ab") as stderr,
            subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, bufsize=1,
            ) as process,
        ):  # fmt: skip
            made = Pusher(process, words)
            try:
                yield made
            finally:
                assert process.stdin
                process.stdin.close()
                process.kill()
