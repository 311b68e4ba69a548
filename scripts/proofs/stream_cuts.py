"""Connections to a real API server cut at random points while scripts run: no byte lost or doubled, no wrong verdict.

usage: scripts/prove stream-cuts [--seed S] [--cuts N] [--record]
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts import proof_page
from tests.labs.backends.lab import Runner, payload
from tests.labs.cluster.cluster import Cluster, running_cluster

ROOT = Path(__file__).resolve().parents[2]
LINES = 150
CUTS_PER_JOB = 5
AT_ONCE = 3
# each line has a length of its own, up to 3 kB, so that cuts fall into frames of every size
SCRIPT = (
    "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $i $(head -c $(( (i*7919+{seed}) % 3000 )) /dev/zero | tr '\\0' x);"
    " [ $((i % 5)) -ne 0 ] || sleep 0.05; done; exit {code}"
)


def main() -> int:
    """Cut, compare, print the result."""
    parser = argparse.ArgumentParser(prog="scripts/prove stream-cuts", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--cuts", type=int, default=50, help="cuts that hit at least one open connection (default: 50)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/stream-cuts.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    jobs = -(-arguments.cuts // CUTS_PER_JOB)
    with running_cluster() as cluster, tempfile.TemporaryDirectory(prefix="stream-cuts-") as folder:
        role = (ROOT / "docs/reference/rbac.yaml").read_text()
        cluster.kubectl("apply", "-f", "-", text=role)
        begun = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            seeds = range(arguments.seed, arguments.seed + jobs)
            cuts, size = map(sum, zip(*pool.map(lambda seed: one_job(cluster, Path(folder), seed), seeds), strict=True))
        while cuts < arguments.cuts:  # a job may be over before it has had all of its cuts
            more_cuts, more_bytes = one_job(cluster, Path(folder), arguments.seed + jobs)
            cuts, size, jobs = cuts + more_cuts, size + more_bytes, jobs + 1
    result = (
        f"{cuts} cuts of the connections of {jobs} jobs (seeds from {arguments.seed}), {AT_ONCE} at once, Kubernetes 1.34:\n"
        f"{size:,} bytes of output, every one equal and in order; every exit code the script's own. "
        f"{time.monotonic() - begun:.0f} s."
    )
    print(result)
    if arguments.record:
        proof_page.record("stream-cuts", result, at=at)
    return 0


def one_job(cluster: Cluster, folder: Path, seed: int) -> tuple[int, int]:
    """Run a job whose connections are cut; return the cuts that hit, and the bytes of its output."""
    chance = random.Random(seed)  # noqa: S311 (points in time, not keys)
    code = chance.choice([0, 3])
    port = 20000 + seed % 10000
    settings, kubeconfig = folder / f"{seed}.toml", folder / f"{seed}.kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig("driver").read_text().replace(":16443", f":{port}"))
    settings.write_text(
        f'[kubernetes]\nnamespace = "default"\nkubeconfig = "{kubeconfig}"\nhelper_image = "localhost/busybox:1"\n'
        'pull_policy = "never"\n'
    )
    driver = [*cluster.inside, sys.executable, "-m", "executor"]
    with cutter(cluster, port) as relay:
        job = Runner(driver, ["--config", str(settings)], environment={"PYTHONPATH": str(ROOT)})
        hits: list[int] = []
        job.when("\n1 ", lambda: cut(relay, chance, hits))
        script = SCRIPT.format(lines=LINES, seed=seed, code=code)
        outcome = job.run(payload([script], id=seed))
    failed = f"seed {seed}: {outcome.state} {outcome.reason} {outcome.exit_code}\n{outcome.text[-2000:]}"
    expected = ("failed", "script_failure", 3) if code else ("success", "", 0)
    if (outcome.state, outcome.reason, outcome.exit_code) != expected:
        raise AssertionError(failed)
    output = next(call.stdout for call in outcome.calls if call.script == "build_script")
    wanted = "".join(f"{i} {'x' * ((i * 7919 + seed) % 3000)}\n" for i in range(1, LINES + 1)).replace(" \n", "\n").encode()
    begin = output.index(b"\n1 ") + 1
    if output[begin : begin + len(wanted)] != wanted or not output[begin + len(wanted) :].startswith(b"used "):
        raise AssertionError(f"seed {seed}: the output differs")
    return len(hits), len(wanted)


def cut(relay: subprocess.Popen[bytes], chance: random.Random, hits: list[int]) -> None:
    """Cut at random moments until enough cuts have hit an open connection, or the job is over."""
    assert relay.stdout is not None
    while len(hits) < CUTS_PER_JOB and relay.poll() is None:
        time.sleep(chance.uniform(0.05, 0.5))
        with contextlib.suppress(ProcessLookupError, ValueError):
            relay.send_signal(signal.SIGUSR1)
            printed = relay.stdout.readline().split()
            if printed and int(printed[1]):
                hits.append(int(printed[1]))


@contextlib.contextmanager
def cutter(cluster: Cluster, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a relay to the API server."""
    argv = [*cluster.inside, sys.executable, str(ROOT / "tests/labs/cluster/cutter.py"), str(port), "16443"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ}) as relay:
        assert relay.stdout is not None
        if relay.stdout.readline() != b"ready\n":
            raise RuntimeError("the relay did not start")
        try:
            yield relay
        finally:
            relay.kill()


if __name__ == "__main__":
    sys.exit(main())
