"""How fast a log is scanned: ours with both rule sets, beside Spack's parser and the real ctest, in one run.

usage: scripts/bench scan [--quick]
MB per CPU-second of the scan itself (for ctest of the whole process); the slow ones get a smaller part of the same log.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from scripts.benches.parts.build_log import build_log
from scripts.benches.parts.contest import (
    Contestant,
    Figures,
    in_child,
    medians,
    rounds,
    spack_python,
    spack_root,
    spread,
    table,
)
from scripts.benches.parts.ctest_scrape import scraped

_CHILD = Path(__file__).parent / "parts/scan_child.py"
_SEED = 7


def main() -> int:
    """Run the contest, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench scan", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 50 seconds")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as name:
        folder = Path(name)
        logs = {size: _log(folder, size) for size in ((50, 3, 1, 0.05) if quick else (50, 100, 10, 5, 0.5))}
        slow, spack, ctest = (1, 3, 0.05) if quick else (5, 10, 0.5)
        contestants: dict[str, Contestant] = {
            "ours, rules spack": partial(_ours, "ours", "spack", logs[50]),
            "ours, rules ctest": partial(_ours, "ours", "ctest", logs[50]),
            "ours without RE2, rules spack": partial(_ours, "slow", "spack", logs[slow]),
        }
        root = spack_root()
        if root:
            command: list[str | Path] = [spack_python(root), _CHILD, "spack", root, logs[spack]]
            contestants["Spack's parser"] = partial(in_child, command)
        if shutil.which("ctest"):
            contestants["ctest"] = partial(_ctest, folder, logs[ctest])
        results = rounds(contestants, times=2 if quick else 3)
        large = _ours("ours", "spack", logs[50] if quick else logs[100])
    _print(results, large, missing=[name for name in ("Spack's parser", "ctest") if name not in results])
    return 0


def _log(folder: Path, size_mb: float) -> Path:
    path = folder / f"log-{size_mb}"
    with path.open("wb") as file:
        file.writelines(build_log(size_bytes=int(size_mb * 1e6), seed=_SEED))
    return path


def _ours(way: str, rules: str, log: Path) -> Figures:
    return in_child([sys.executable, _CHILD, way, rules, log])


def _ctest(folder: Path, log: Path) -> Figures:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = Counter(kind for kind, _ in scraped(log, folder))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size_mb = log.stat().st_size / 1e6
    figures = {"mb_per_cpu_second": size_mb / spent, "rss_mib": 0, "size_mb": size_mb}
    return {**figures, "error": found["error"], "warning": found["warning"]}


def _print(results: dict[str, list[Figures]], large: Figures, *, missing: list[str]) -> None:
    middle = {name: medians(found) for name, found in results.items()}
    rows: list[tuple[str, ...]] = [("", "log MB", "MB per CPU-second", "errors", "warnings", "RSS MiB")]
    for name, figures in middle.items():
        rss = f"{figures['rss_mib']:.0f}" if figures["rss_mib"] else "-"
        counts = f"{figures['error']:.0f}", f"{figures['warning']:.0f}"
        rows.append((name, f"{figures['size_mb']:.1f}", spread(results[name], "mb_per_cpu_second"), *counts, rss))
    print(table(rows))
    print(f"{large['size_mb']:.0f} MB in one process: highest RSS {large['rss_mib']:.0f} MiB")
    print(*(f"{name}: not on this machine" for name in missing), sep="\n", end="\n" if missing else "")
    speeds = {name: figures["mb_per_cpu_second"] for name, figures in middle.items()}
    ours = {
        "mb_per_cpu_second": round(speeds["ours, rules spack"], 1),
        "mb_per_cpu_second_rules_ctest": round(speeds["ours, rules ctest"], 1),
        "mb_per_cpu_second_without_re2": round(speeds["ours without RE2, rules spack"], 2),
        "rss_mib": round(large["rss_mib"], 1),
        "rss_of_log_mb": round(large["size_mb"], 1),
    }
    keys = {"Spack's parser": "spack", "ctest": "ctest"}
    peers = {key: {"mb_per_cpu_second": round(speeds[name], 3)} for name, key in keys.items() if name in speeds}
    ratios = {
        f"{key}_mb_per_cpu_second": round(ours["mb_per_cpu_second"] / speeds[name], 1)
        for name, key in keys.items()
        if name in speeds
    }
    print(json.dumps({"bench": "scan", "ours": ours, "peers": peers, "ratios": ratios}))


if __name__ == "__main__":
    sys.exit(main())
