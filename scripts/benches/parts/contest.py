"""Contestants in processes of their own: runs them in interleaved rounds and prints medians and spread."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

Figures = dict[str, float]
Contestant = Callable[[], Figures]

ROOT = Path(__file__).resolve().parents[3]


def in_child(command: Sequence[str | Path]) -> Figures:
    """Run a program that prints its figures as JSON in its last line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, env=environment)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def spack_root() -> Path | None:
    """Return a Spack checkout, from SPACK_ROOT or from where scripts/get-spack puts it."""
    named = os.environ.get("SPACK_ROOT")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = [Path(named)] if named else sorted(cache.glob("spack-farm/spack/*/spack"))
    return next((path for path in reversed(found) if (path / "lib/spack/spack").is_dir()), None)


def spack_python(root: Path) -> Path:
    """Return an interpreter that can import Spack."""
    own = root.parent / "venv/bin/python"
    return own if own.exists() else Path(sys.executable)


def rounds(contestants: dict[str, Contestant], *, times: int) -> dict[str, list[Figures]]:
    """Let every contestant run `times` times, in turn."""
    found: dict[str, list[Figures]] = {name: [] for name in contestants}
    for number in range(times):
        for name, run in contestants.items():
            print(f"round {number + 1} of {times}: {name}", file=sys.stderr, flush=True)
            found[name].append(run())
    return found


def medians(results: list[Figures]) -> Figures:
    """Return the median of each figure."""
    return {key: statistics.median(result[key] for result in results) for key in results[0]}


def spread(results: list[Figures], key: str) -> str:
    """Return a figure as `median (lowest to highest)`."""
    values = sorted(result[key] for result in results)
    return f"{statistics.median(values):,.2f} ({values[0]:,.2f} to {values[-1]:,.2f})"


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
