"""Exec streams of a fake API server cut after random bytes: no byte of a job's log lost or doubled, no wrong verdict.

usage: scripts/prove fake-stream-cuts [--seed S] [--cuts N] [--record]
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts import proof_page
from tests.labs.backends.fake import FakeCluster, lab_on, left_over
from tests.labs.backends.lab import ContractLab

CUTS_PER_JOB = 25
LONGEST_BYTES = 60_000
LINES = 12_000


def main() -> int:
    """Cut, compare, print the result."""
    parser = argparse.ArgumentParser(prog="scripts/prove fake-stream-cuts", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--cuts", type=int, default=1000, help="streams that are reset (default: 1,000)")
    parser.add_argument("--at-once", type=int, default=4, help="jobs that run side by side (default: 4)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/fake-stream-cuts.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    jobs = -(-arguments.cuts // CUTS_PER_JOB)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stream-cuts-") as name:
        folder = Path(name)
        with FakeCluster(folder / "cluster") as cluster, ThreadPoolExecutor(arguments.at_once) as pool:
            lab = lab_on(cluster, folder)
            cuts = cluster.faults.cut_streams_at_random(arguments.seed, largest=LONGEST_BYTES, times=arguments.cuts)
            size = sum(pool.map(lambda number: one_job(lab, number % 200 + 1), range(jobs)))
            extra = 0
            while len(cuts) < arguments.cuts:  # jobs that needed fewer connections than others
                size += one_job(lab, 7)
                extra += 1
            assert not left_over(cluster), "pods are left"
    result = (
        f"{len(cuts)} exec streams reset after 1 to {LONGEST_BYTES:,} bytes (seed {arguments.seed}), "
        f"in {jobs + extra} jobs:\n"
        f"{size:,} bytes of output, every one equal and in order; every exit code the script's own. "
        f"{time.monotonic() - began:.0f} s."
    )
    print(result)
    if arguments.record:
        proof_page.record("fake-stream-cuts", result, at=at)
    return 0


def one_job(lab: ContractLab, code: int) -> int:
    """Run a job that prints numbers and fails with a code; return the bytes of its log, which must be whole."""
    outcome = lab.run([f"seq 1 {LINES}", f"exit {code}"])
    assert (outcome.reason, outcome.exit_code) == ("script_failure", code), outcome.text[-3000:]
    output = outcome.call("build_script").stdout
    expected = "".join(f"{number}\n" for number in range(1, LINES + 1))
    head = f"$ seq 1 {LINES}\n{expected}$ exit {code}\n".encode()
    assert output.startswith(head), output[:3000]
    assert output[len(head) :].startswith(b"used "), output[-300:]
    assert output.count(b"\n") == LINES + 3, output[-3000:]
    return len(head)


if __name__ == "__main__":
    sys.exit(main())
