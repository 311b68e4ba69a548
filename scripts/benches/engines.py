"""Why RE2 over whole blocks: the ways to find a log's error lines, on one log, with the patterns of the rules `ctest`.

usage: scripts/bench engines [--quick]
Hyperscan takes part where its wheel is installed. Each way only finds candidate lines; contexts cost the same for all.
"""

import argparse
import importlib
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from ctest_xml.blocks import BLOCK_BYTES, blocks
from ctest_xml.engine import engine_for
from ctest_xml.rules import CTEST
from scripts.benches.parts.build_log import build_log
from scripts.benches.parts.contest import table

_PATTERNS = (*CTEST.errors, *CTEST.warnings)
_CLASSES = (CTEST.errors, CTEST.error_exceptions, CTEST.warnings, CTEST.warning_exceptions)
Way = Callable[[list[bytes]], int]


def main() -> int:
    """Run all ways in turn, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench engines", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 50 seconds")
    quick = parser.parse_args().quick
    sizes = {
        "re2 over blocks": 50,
        "re2.Set a line": 20,
        "hyperscan over blocks": 50,
        "literals, then re": 10,
        "re a line": 1,
    }
    ways: dict[str, Way] = {
        "re2 over blocks": _engine(use_re2=True),
        "re2.Set a line": _sets(),
        "literals, then re": _engine(use_re2=False),
        "re a line": _stdlib(),
    }
    try:
        ways["hyperscan over blocks"] = _hyperscan(importlib.import_module("hyperscan"))
    except ImportError:
        print("hyperscan: its wheel is not installed")
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, int] = {}
    for _ in range(2 if quick else 3):
        for name, way in ways.items():
            size = sizes[name] * 1_000_000 // (5 if quick else 1)
            log = list(blocks(build_log(size_bytes=size, seed=7), line_bytes=CTEST.line_bytes, last_line=False))
            start = time.process_time()
            found[name] = way(log)
            speeds[name].append(sum(map(len, log)) / 1e6 / (time.process_time() - start))
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    rows: list[tuple[str, ...]] = [("", "MB per CPU-second", "candidate lines")]
    rows += [(name, f"{middle[name]:.1f}", str(found[name])) for name in sorted(middle, key=lambda name: -middle[name])]
    print(f"blocks of {BLOCK_BYTES >> 10} KiB, {len(_PATTERNS)} patterns")
    print(table(rows))
    ours = {"mb_per_cpu_second": round(middle["re2 over blocks"], 1)}
    peers = {name: {"mb_per_cpu_second": round(speed, 2)} for name, speed in middle.items() if name != "re2 over blocks"}
    ratios = {name: round(ours["mb_per_cpu_second"] / speed, 2) for name, speed in middle.items() if name in peers}
    print(json.dumps({"bench": "engines", "ours": ours, "peers": peers, "ratios": ratios}))
    return 0


def _engine(*, use_re2: bool) -> Way:
    made = engine_for(CTEST, use_re2=use_re2)
    return lambda log: sum(1 for block in log for _ in made.candidates(block))


def _sets() -> Way:
    re2: Any = importlib.import_module("re2")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    sets = []
    for patterns in _CLASSES:
        made = re2.Set.SearchSet(options)
        for pattern in patterns:
            made.Add(pattern.encode())
        made.Compile()
        sets.append(made.Match)
    error, error_exception, warning, warning_exception = sets

    def run(log: list[bytes]) -> int:
        count = 0
        for block in log:
            for line in block.split(b"\n"):
                if (error(line) and not error_exception(line)) or (warning(line) and not warning_exception(line)):
                    count += 1
        return count

    return run


def _stdlib() -> Way:
    pattern = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS).encode())
    return lambda log: sum(1 for block in log for line in block.split(b"\n") if pattern.search(line))


def _hyperscan(hyperscan: Any) -> Way:
    database = hyperscan.Database()
    flags = hyperscan.HS_FLAG_MULTILINE
    database.compile(
        expressions=[pattern.encode() for pattern in _PATTERNS],
        ids=list(range(len(_PATTERNS))),
        flags=[flags] * len(_PATTERNS),
    )

    def run(log: list[bytes]) -> int:
        count = 0
        for block in log:
            lines: set[int] = set()

            def seen(
                _id: int, _start: int, end: int, _flags: int, _context: object, block: bytes = block, lines: set[int] = lines
            ) -> None:
                lines.add(block.rfind(b"\n", 0, end))

            database.scan(block, match_event_handler=seen)
            count += len(lines)
        return count

    return run


if __name__ == "__main__":
    sys.exit(main())
