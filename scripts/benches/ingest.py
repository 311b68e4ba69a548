"""How long telemetry takes into the history: a folder, a second reading, and S3 (versitygw), with time, rate and memory.

    scripts/bench ingest [--quick]

Each reading is a process of its own; documents have 10 kB. The budget is 100,000 documents of a folder in 60 s and 200 MiB.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.labs.checkout import ROOT
from tests.labs.s3.server import versitygw, versitygw_program
from tests.labs.sizing import DAY, NOW, document, upload

_PACKAGES = 400
_FOLDER = (100_000, 5_000)
_S3 = (5_000, 500)


def main() -> int:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench ingest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 50 seconds")
    quick = parser.parse_args().quick
    ours: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        folder = Path(name)
        _upload(folder / "mirror", _FOLDER[quick])
        for reading in ("folder", "again nothing new"):
            ours[reading] = _ingest(str(folder / "mirror"), folder / "history.sqlite", os.environ)
        served = folder / "s3"
        served.mkdir()
        with contextlib.ExitStack() as running:
            server = running.enter_context(versitygw(versitygw_program(), served))
            bucket = server.bucket()
            _upload(served / "data" / bucket, _S3[quick])
            environment = dict(os.environ) | server.environment
            ours["s3"] = _ingest(f"s3://{bucket}", folder / "s3.sqlite", environment)
    print(f"{'':20} {'documents':>9} {'seconds':>8} {'CPU':>8} {'per second':>10} {'MiB':>6}")
    for reading, row in ours.items():
        print(
            f"{reading:20} {row['documents']:9,.0f} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f}"
            f" {row['per_second']:10,.0f} {row['mib']:6.0f}"
        )
    print(json.dumps({"ours": ours}))
    return 0


def _upload(folder: Path, count: int) -> None:
    """Write documents of 10 kB, of many packages and 90 days."""
    samples = {"memory_bytes": [10_000_000_000 + step for step in range(650)]}
    for number in range(count):
        ended = NOW - 90 * DAY * (number + 1) / count
        made = document(f"package-{number % _PACKAGES}", ended=ended, job={"id": str(number)}, samples=samples)
        upload(made, folder)


def _ingest(source: str, history: Path, environment: Mapping[str, str]) -> dict[str, float]:
    argv = [sys.executable, "-m", "sizing", "ingest", source, "--history", str(history)]
    begun = time.monotonic()
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    seconds = time.monotonic() - begun
    found = re.search(r"([\d,]+) documents read", said)
    assert found, said
    documents = int(found[1].replace(",", ""))
    return {
        "documents": documents, "seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "per_second": documents / seconds, "mib": usage.ru_maxrss / 1024,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
