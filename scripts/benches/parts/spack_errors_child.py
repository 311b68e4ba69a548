"""Spack's own log parser over some logs: prints, for each, the line numbers of its errors as a JSON list.

usage: spack_errors_child.py ROOT LOG…
"""

import importlib
import json
import sys


def main() -> None:
    """Parse each log."""
    root, *logs = sys.argv[1:]
    sys.path.insert(0, f"{root}/lib/spack")
    peer = importlib.import_module("spack.util.ctest_log_parser")
    for log in logs:
        # as Spack reads a stage's log, but for bytes that are not UTF-8: on these it would stop with an exception
        with open(log, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  no pathlib: Spack's oldest Python
            errors, _ = peer.CTestLogParser().parse(file, 6, 1)
        print(json.dumps([event.line_no for event in errors]))


main()
