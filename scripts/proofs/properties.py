"""Property tests with other examples than the gate's: the gate always tests the same ones, so that it never fails by chance.

usage: scripts/prove properties [--seed S] [--rounds N] [--record]
"""

import argparse
import re
import subprocess
import sys
import time

from scripts import proof_page


def main() -> int:
    """Run the property tests once for each seed; print what held, or how to repeat the first round that failed."""
    parser = argparse.ArgumentParser(prog="scripts/prove properties", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--rounds", type=int, default=20, help="seeds, one after the other (default: 20)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/properties.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    began = time.monotonic()
    tests = 0
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", "--hypothesis-profile", "roam", "tests/unit"]
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        done = subprocess.run([*pytest, f"--hypothesis-seed={seed}"], stdout=subprocess.PIPE, text=True, check=False)
        passed = re.search(r"(\d+) passed", done.stdout)
        if done.returncode or not passed:
            print(f"{done.stdout}\nfailed: scripts/prove properties --rounds 1 --seed {seed}")
            return 1
        tests = int(passed[1])
        print(f"seed {seed}: {tests} properties hold", flush=True)
    last = arguments.seed + arguments.rounds - 1
    result = (
        f"{tests} properties hold for the seeds {arguments.seed} to {last}, up to 300 examples each. "
        f"{time.monotonic() - began:.0f} s."
    )
    print(result)
    if arguments.record:
        proof_page.record("properties", result, at=at)
    return 0


if __name__ == "__main__":
    sys.exit(main())
