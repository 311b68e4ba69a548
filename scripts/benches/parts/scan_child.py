"""One contestant of `scripts/bench scan`: scans a log, prints CPU seconds, highest RSS and what was found.

usage: scan_child.py ours RULES LOG | slow RULES LOG | spack ROOT LOG
"""

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any


def _cpu_seconds() -> float:
    """CPU of this process and of the children it waited for: Spack's parser works in one."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main() -> None:
    """Run one scan."""
    way, how, log = sys.argv[1:4]
    counted = {"error": 0, "warning": 0}
    if way == "spack":
        sys.path.insert(0, f"{how}/lib/spack")
        peer = importlib.import_module("spack.util.ctest_log_parser")

        start = _cpu_seconds()
        errors, warnings = peer.CTestLogParser().parse(log, 6, 1)
        counted = {"error": len(errors), "warning": len(warnings)}
    else:
        from ctest_xml.rules import RULES  # noqa: PLC0415  as above
        from ctest_xml.scan import scan  # noqa: PLC0415

        start = _cpu_seconds()
        with Path(log).open("rb") as file:
            for event in scan(file, rules=RULES[how], use_re2=way != "slow"):
                counted[event.kind] += 1
    spent = _cpu_seconds() - start
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size_mb = Path(log).stat().st_size / 1e6
    figures: dict[str, Any] = {"mb_per_cpu_second": size_mb / spent, "rss_mib": rss_mib, "size_mb": size_mb, **counted}
    print(json.dumps(figures))


main()
