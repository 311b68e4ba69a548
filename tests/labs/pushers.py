"""A program that pushes repeatedly: it loads boto3 once; each push is a process of its own, as it is for users."""

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
    arguments, environment = json.loads(line)
    pid = os.fork()
    if not pid:
        os.environ.update(environment)
        os._exit(main(arguments))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Pusher:
    """One such program; one push at a time."""

    def __init__(self, process: "subprocess.Popen[str]", stderr: Path) -> None:
        self._process = process
        self._stderr = stderr
        self.pid = 0

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run `spack-farm publish` with these arguments in a process of its own; return its id."""
        assert self._process.stdin
        assert self._process.stdout
        self._stderr.write_bytes(b"")
        self._process.stdin.write(json.dumps([list(arguments), dict(environment)]) + "\n")
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
        """Kill the push (KILL); call `wait` afterwards."""
        os.kill(self.pid, signal.SIGKILL)

    def stderr(self) -> str:
        """Return what the push wrote to its standard error."""
        return self._stderr.read_text(errors="replace")


@contextlib.contextmanager
def pusher(environment: Mapping[str, str]) -> Iterator[Pusher]:
    """Yield a program that pushes, with this environment and no other."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-pusher-") as folder:
        path = Path(folder) / "stderr"
        with (
            path.open("ab") as stderr,
            subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, bufsize=1,
            ) as process,
        ):  # fmt: skip
            made = Pusher(process, path)
            try:
                yield made
            finally:
                assert process.stdin
                process.stdin.close()
                process.kill()
