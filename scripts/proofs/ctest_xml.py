"""Fuzz: logs and models of any content become documents that are well-formed and valid, and the rules `ctest` are ctest's.

usage: scripts/prove ctest-xml [--seed S] [--cases N] [--against-ctest N] [--record]
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from scripts import proof_page
from tests.labs.random_documents import prove_one
from tests.labs.real_ctest import lines, ours, theirs, version


def main() -> int:
    """Run the cases; print what was held, or the seed of the first that was not."""
    parser = argparse.ArgumentParser(prog="scripts/prove ctest-xml", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--cases", type=int, default=100_000, help="logs and models (default: 100,000)")
    parser.add_argument(
        "--against-ctest", type=int, default=40, help="logs of 1,000 lines given to the machine's ctest (default: 40)"
    )
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/ctest-xml.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    start = time.monotonic()
    for seed in range(arguments.seed, arguments.seed + arguments.cases):
        try:
            prove_one(seed)
        except Exception:
            print(f"failed: scripts/prove ctest-xml --cases 1 --against-ctest 0 --seed {seed}", flush=True)
            raise
        if (seed - arguments.seed) % 10_000 == 9_999:
            print(f"{seed - arguments.seed + 1} of {arguments.cases}", flush=True)
    events = against_ctest(arguments.seed, arguments.against_ctest)
    ctest = (
        f"{arguments.against_ctest} logs of 1,000 lines given to ctest {version()}, limits lifted"
        if events
        else "no ctest asked"
    )
    result = (
        f"{arguments.cases:,} logs and models from seed {arguments.seed}: every document well-formed, passed by `check`\n"
        "and valid against CDash's schemas, no exception, equal events for any chunks.\n"
        f"{ctest}: {events:,} events equal in every field.\n"
        f"{time.monotonic() - start:.0f} s."
    )
    print(result)
    if arguments.record:
        proof_page.record("ctest-xml", result, at=at)
    return 0


def against_ctest(seed: int, logs: int) -> int:
    """Give logs to the machine's own ctest; return how many events were equal, or raise AssertionError."""
    events = 0
    with tempfile.TemporaryDirectory(prefix="ctest-xml-proof-") as name:
        folder = Path(name).resolve()
        for number in range(seed, seed + logs):
            log = b"\n".join(lines(random.Random(number), 1000, folder)) + b"\n"  # noqa: S311  a log, not a key
            expected = theirs(log, folder, limit=10**6)
            found = ours(log, folder, limit=10**6)
            for one, other in zip(found, expected, strict=True):
                assert one == other, f"seed {number}: {one} is not {other}"
            events += len(expected)
    return events


if __name__ == "__main__":
    sys.exit(main())
