"""The six public traces of workflow tasks that Sizey was measured on, as observations.

A task's process is its only key: what it reads is known after it ran, and a Spack build has no such figure. Its user's
requests are the priors. Source: dos-group/sizey, data/trace_*.csv.
"""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from scripts.benches.parts.contest import ROOT
from sizing.observations import Observation

TRACES = ("methylseq", "chipseq", "eager", "rnaseq", "mag", "iwd")
DATA = ROOT.parent / "shared/data/sizing"
NODE_BYTES = 128 * 10**9
"""Memory of the replay's nodes: nothing gets more."""


def traces(data: Path) -> dict[str, list[Observation]]:
    """Return the tasks of each trace in the order of its file. Raises OSError where a file is missing."""
    return {name: [seen for seen, _ in tasks(data / "sizey" / f"{name}.csv.gz")] for name in TRACES}


def tasks(path: Path) -> Iterator[tuple[Observation, float]]:
    """Yield the tasks that came to their end and were measured, each with the bytes that it read."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            peak, milliseconds = _number(row["peak_rss"]), _number(row["realtime"])
            if row["status"] not in {"COMPLETED", "CACHED"} or not peak or not milliseconds:
                continue
            seconds, cores = milliseconds / 1000, _number(row["cpus"])
            seen = Observation(
                keys=(row["process"],),
                submitted=_number(row["submit"]) / 1000,
                ended=_number(row["complete"]) / 1000,
                outcome="built",
                asked_memory_bytes=int(_number(row["memory"])) or None,
                asked_cpu_millicores=int(cores * 1000) or None,
                working_set_peak_bytes=int(peak),
                cpu_seconds=_number(row["%cpu"]) / 100 * seconds,
                wall_seconds=seconds,
                jobs=int(cores) or None,
            )
            yield seen, _number(row["rchar"])


def _number(text: str) -> float:
    return 0.0 if text in {"", "-"} else float(text)
