"""The driver's counters for the textfile collector of Prometheus's node exporter: one file for all calls of a manager.

Calls of many jobs add to it at once: a lock holds them apart, and the file appears whole, by rename. A counter that cannot
be written costs a warning, never a job. Source: Prometheus, "Exposition formats"; node_exporter, "Textfile Collector".
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from executor.log import Log
from executor.settings import Settings

Changes = dict[str, float]
"""Series -> what is added to it: `spack_farm_jobs_total{outcome="success"}`."""

JOBS, KILLS, RETRIES = "spack_farm_jobs_total", "spack_farm_kills_total", "spack_farm_retries_total"
WAITING, STARTS = "spack_farm_pod_start_seconds_total", "spack_farm_pod_starts_total"
MEMORY_ASKED, MEMORY_USED = "spack_farm_memory_asked_bytes_total", "spack_farm_memory_used_bytes_total"
CPU_ASKED, CPU_USED = "spack_farm_cpu_asked_seconds_total", "spack_farm_cpu_used_seconds_total"
UPDATED = "spack_farm_updated_timestamp_seconds"
HELP = {
    JOBS: "Attempts at jobs that have ended, by outcome.",
    KILLS: "Build scripts that were killed, by the limit that was too small.",
    RETRIES: "Attempts at jobs of which an earlier attempt was killed, or got no node.",
    WAITING: "Seconds from the launch of pods until scripts could run in them.",
    STARTS: "Pods in which scripts could run.",
    MEMORY_ASKED: "Memory that build containers requested, summed over build scripts.",
    MEMORY_USED: "Peak of the working set of the same containers.",
    CPU_ASKED: "CPU that build containers requested, times the duration of their build scripts.",
    CPU_USED: "CPU time that the same build scripts used.",
    UPDATED: "When a call of the driver has written this file last.",
}
"""Metric -> what it counts."""
_LOCK_SECONDS = 2.0
_PAUSE_SECONDS = 0.02
_LARGEST_BYTES = 1 << 20
_SERIES = re.compile(r'(spack_farm_[a-z_]+(?:\{[a-z_]+="[a-z_]+"\})?) ([0-9.e+]+)')


def series(metric: str, **labels: str) -> str:
    """Return the name of a series; values of labels are words of ours."""
    return metric + "".join(f'{{{key}="{value}"}}' for key, value in labels.items())


def add(settings: Settings, changes: Changes, log: Log) -> None:
    """Add to the counters in the file that the settings name; nothing if they name none."""
    if not settings.metrics.file or not changes:
        return
    path = Path(settings.metrics.file)
    try:
        with _locked(path):
            known = parse(_read(path))
            for name, change in changes.items():
                known[name] = known.get(name, 0.0) + max(change, 0.0)
            known[UPDATED] = time.time()
            _write(path, render(known))
    except OSError as error:
        log.warning(f"the counters cannot be written, see metrics.file: {error}")


def parse(text: str) -> Changes:
    """Return the values of a file; lines that are not ours are left out."""
    found = (_SERIES.fullmatch(line) for line in text.splitlines())
    values: Changes = {}
    for line in found:
        with contextlib.suppress(ValueError):
            if line:
                values[line[1]] = float(line[2])
    return values


def render(values: Changes) -> str:
    """Return the file's text: each metric with what it counts, then its series."""
    lines = []
    for metric, text in HELP.items():
        mine = sorted(name for name in values if name.partition("{")[0] == metric)
        if mine:
            lines += [f"# HELP {metric} {text}", f"# TYPE {metric} {'gauge' if metric == UPDATED else 'counter'}"]
            lines += [f"{name} {_number(values[name])}" for name in mine]
    return "".join(f"{line}\n" for line in lines)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST_BYTES)
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Write the file by rename, readable by all: the collector is another user. Its name would be read with `.prom`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, which ends with the process that holds it. Raises OSError if others have it for too long."""
    import fcntl  # noqa: PLC0415 (only where the settings name a file)

    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)
