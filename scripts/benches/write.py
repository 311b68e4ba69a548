"""What writing costs: 50,000 events into Build.xml, a 100 MB log into Notes.xml and Upload.xml, beside Spack's templates.

usage: scripts/bench write [--quick]
Ours streams, so its memory must not grow with the events; Spack's reporter renders all at once and sends no log.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from scripts.benches.parts.build_log import build_log
from scripts.benches.parts.contest import Contestant, in_child, medians, rounds, spack_python, spack_root, spread, table

_CHILD = Path(__file__).parent / "parts/write_child.py"
_EVENTS = 50_000


def main() -> int:
    """Run the contest, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench write", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 50 seconds: a log of 20 MB")
    quick = parser.parse_args().quick
    log_mb = 20 if quick else 100
    with tempfile.TemporaryDirectory(prefix="bench-write-") as name:
        folder = Path(name)
        log = folder / "log"
        with log.open("wb") as file:
            file.writelines(build_log(size_bytes=log_mb * 1_000_000, seed=7))
        contestants: dict[str, Contestant] = {
            "ours, 50,000 events": _contestant(sys.executable, "ours", _EVENTS, "-", folder),
            "ours, 1,000 events": _contestant(sys.executable, "ours", 1_000, "-", folder),
            f"ours, 1,000 events and a log of {log_mb} MB": _contestant(sys.executable, "ours", 1_000, log, folder),
        }
        root = spack_root()
        if root:
            contestants["Spack's templates, 50,000 events"] = _contestant(spack_python(root), "spack", _EVENTS, root, folder)
        results = rounds(contestants, times=2 if quick else 3)
    names = list(results)
    middle = {name: medians(found) for name, found in results.items()}
    rows: list[tuple[str, ...]] = [("", "CPU seconds", "RSS MiB", "Build.xml MB")]
    rows += [
        (name, spread(results[name], "cpu_seconds"), spread(results[name], "rss_mib"), f"{middle[name]['build_mb']:.1f}")
        for name in names
    ]
    print(table(rows))
    many, few, logged = (middle[name] for name in names[:3])
    ours = {
        "cpu_seconds_50000_events": round(many["cpu_seconds"], 2),
        "rss_mib_50000_events": round(many["rss_mib"], 1),
        "rss_mib_1000_events": round(few["rss_mib"], 1),
        "cpu_seconds_log": round(logged["cpu_seconds"], 2),
        "rss_mib_log": round(logged["rss_mib"], 1),
        "log_mb": log_mb,
    }
    peers, ratios = {}, {}
    if len(names) > 3:
        spack = middle[names[3]]
        peers["spack"] = {"cpu_seconds": round(spack["cpu_seconds"], 2), "rss_mib": round(spack["rss_mib"], 1)}
        ratios["spack_rss"] = round(spack["rss_mib"] / many["rss_mib"], 2)
        ratios["spack_cpu"] = round(spack["cpu_seconds"] / many["cpu_seconds"], 2)
    else:
        print("Spack's templates: not on this machine")
    print(json.dumps({"bench": "write", "ours": ours, "peers": peers, "ratios": ratios}))
    return 0


def _contestant(python: str | Path, way: str, events: int, source: str | Path, folder: Path) -> Contestant:
    return partial(in_child, [python, _CHILD, way, str(events), source, folder])


if __name__ == "__main__":
    sys.exit(main())
