"""An operator's own machine: this one, in mount namespaces. Changes below /etc, /opt, /usr/local and the checkout stay in
it and vanish with it.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.labs.checkout import ROOT

_CHANGED = ("/etc", "/opt", "/usr/local", str(ROOT))
# How a package index is reached; read before the tests' environment is cleaned
_PASSED = ("PIP_", "SSL_", "HTTP", "NO_PROXY", "http", "no_proxy", "XDG_CACHE_HOME")
_VARIABLES = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
# A file that is a mount of its own, as name servers are in containers, does not show through an overlay
_START = """
set -eu
scratch=$1; shift
mount -t tmpfs tmpfs $scratch
for folder; do
  layer=$scratch/$(echo $folder | tr / _); mkdir -p $layer/upper $layer/work
  if [ $folder = /etc ]; then cp /etc/resolv.conf /etc/hosts $layer/upper; fi
  mount -t overlay -o lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work overlay $folder
done
echo ready
cat
"""


class Machine:
    """The namespaces, and how to run something in them."""

    def __init__(self, process: int, *, variables: Mapping[str, str]) -> None:
        self._process = process
        self._environment = {"HOME": os.environ["HOME"], "LANG": "C.UTF-8"} | _VARIABLES | dict(variables)

    def start(self, script: str, *, inside: Sequence[str] = (), **variables: str) -> subprocess.Popen[str]:
        """Start a script in the checkout, its output in a pipe; `inside` is an argv prefix that enters another network."""
        argv = [*inside, "nsenter", f"--mount=/proc/{self._process}/ns/mnt", "bash", "-euo", "pipefail", "-c"]
        argv.append(f"cd {ROOT}\n{script}")
        return subprocess.Popen(
            argv,
            env=self._environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, *, inside: Sequence[str] = (), **variables: str) -> str:
        """Run a script to its end; return its output. Fails with the output if the script fails."""
        with self.start(script, inside=inside, **variables) as process:
            output = process.communicate()[0]
        assert process.returncode == 0, f"{script}\n{output}"
        return output

    def write(self, path: str, text: str) -> None:
        """Write a file of the machine; a relative path is below the checkout."""
        self.run('mkdir -p "$(dirname "$FILE")"; printf %s "$TEXT" > "$FILE"', FILE=path, TEXT=text)


@contextlib.contextmanager
def machine(scratch: Path, *, variables: Mapping[str, str]) -> Iterator[Machine]:
    """Yield a machine with these environment variables; nothing of it remains."""
    argv = ["unshare", "--mount", "--propagation", "private", "bash", "-c", _START, "machine", str(scratch), *_CHANGED]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "no overlay can be mounted here"
        try:
            yield Machine(process.pid, variables=variables)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
