"""Hundreds of jobs at once against a fake API server: no byte of any log lost, every exit code its script's own.

usage: scripts/prove many-jobs [--jobs N] [--record]
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts import proof_page
from tests.labs.backends.fake import FakeCluster, lab_on, left_over
from tests.labs.backends.lab import ContractLab

LINES = 2000


def main() -> int:
    """Run them, compare, print the result."""
    parser = argparse.ArgumentParser(prog="scripts/prove many-jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="jobs at once (default: 200)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/many-jobs.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="many-jobs-") as name:
        folder = Path(name)
        with FakeCluster(folder / "cluster") as cluster, ThreadPoolExecutor(arguments.jobs) as pool:
            lab = lab_on(cluster, folder)
            meet = threading.Barrier(arguments.jobs)
            size = sum(pool.map(lambda number: one_job(lab, folder, meet, number), range(arguments.jobs)))
            assert not left_over(cluster), "pods are left"
    result = (
        f"{arguments.jobs} jobs whose scripts all ran at one time: {size:,} bytes of output, every one equal and in order;\n"
        f"every exit code the script's own; no pod left. {time.monotonic() - began:.0f} s."
    )
    print(result)
    if arguments.record:
        proof_page.record("many-jobs", result, at=at)
    return 0


def one_job(lab: ContractLab, folder: Path, meet: threading.Barrier, number: int) -> int:
    """Run a job that waits for all others in its middle; return the bytes of its log, which must be whole."""
    code, gate = number % 200 + 1, folder / "gate"

    def arrive() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait()
        gate.touch()

    runner = lab.runner(top="", kubernetes="[budgets]\nschedule_seconds = 3000\npull_seconds = 3000\nstart_seconds = 3000")
    runner.when("\nhalf\n", arrive)
    lines = [f"seq 1 {LINES}", "echo half", f"until [ -e {gate} ]; do sleep 1; done", f"seq 1 {LINES}", f"exit {code}"]
    outcome = runner.run(lab.job(lines))
    if not gate.exists():
        meet.abort()  # it ended too early: the others must not wait for it
    assert (outcome.reason, outcome.exit_code) == ("script_failure", code), outcome.text[-3000:]
    numbers = "".join(f"{one}\n" for one in range(1, LINES + 1))
    expected = f"$ {lines[0]}\n{numbers}$ echo half\nhalf\n$ {lines[2]}\n$ {lines[3]}\n{numbers}$ exit {code}\n".encode()
    output = outcome.call("build_script").stdout
    assert output.startswith(expected), output[-3000:]
    return len(expected)


if __name__ == "__main__":
    sys.exit(main())
