"""Threads that are the first to decode a type, all at once: msgspec (0.22) crashes then, unless it was made ready before."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys, threading
from buildjob.buildcache import manifest as manifests
from buildjob.buildcache import specs
from executor import pod_status
sys.setswitchinterval(1e-6)
blob = b'{"contentLength":1,"mediaType":"m","compression":"gzip","checksumAlgorithm":"sha256","checksum":"%s"}' % (b"a" * 64)
manifest = b'{"version":3,"data":[%s]}' % blob
spec = b'{"spec":{"_meta":{"version":5},"nodes":[{"hash":"%s","name":"x","dependencies":[]}]}}'
acts = {
    "manifest": lambda: manifests.parse_manifest(manifest, where="here"),
    "spec": lambda: specs.parse_spec(spec % (b"a" * 32), where="here"),
    "pod": lambda: pod_status.read_pod({"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Running"}}),
}
threads, together, done = 16, threading.Barrier(16), []
def first():
    together.wait()
    acts[sys.argv[1]]()
    done.append(1)
started = [threading.Thread(target=first) for _ in range(threads)]
for one in started: one.start()
for one in started: one.join()
sys.exit(len(done) != threads)
"""


@pytest.mark.parametrize("what", ["manifest", "spec", "pod"])
def test_threads_may_be_the_first_to_decode(what: str) -> None:
    argv = [sys.executable, "-c", _PROGRAM, what]
    done = subprocess.run(argv, env={"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
