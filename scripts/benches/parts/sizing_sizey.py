"""Sizey's own code in the same replay, in its own Python: a checkout of dos-group/sizey with its requirements in venv/.

Run as a program it prints one JSON object: the totals of one trace. As in its own evaluation, and kinder than to the others,
it is given the bytes that a task will read, and its offsets have seen the task's peak. As there, it learns ten tasks of a
process before it predicts any; until then the user's request counts.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.benches.parts.contest import in_child
from scripts.benches.parts.sizing_traces import NODE_BYTES, TRACES, tasks
from sizing.observations import Observation
from sizing.replay import Past, Totals, replayed, totals

_LEARNED_FIRST = 10


def sizey(folder: Path, data: Path) -> dict[str, Totals]:
    """Return what Sizey comes to on each trace."""
    found = {}
    for name in TRACES:
        print(f"replay: Sizey, {name}", file=sys.stderr, flush=True)
        figures = in_child([folder / "venv/bin/python", "-m", __name__, folder, data / "sizey" / f"{name}.csv.gz"])
        found[name] = Totals(
            builds=int(figures["builds"]),
            waste_gb_hours=figures["waste_gb_hours"],
            cold_waste_gb_hours=figures["cold_waste_gb_hours"],
            failed=int(figures["failed"]),
            most_attempts=int(figures["most_attempts"]),
        )
    return found


class _Sizey:
    """One of its predictors for each process, which has learned all tasks that ended."""

    def __init__(self, folder: Path, read_bytes: dict[tuple[str, float, int | None], float]) -> None:
        sys.path.insert(0, str(folder))
        self._constants, self._class = (
            import_module("approach.experiment_constants"),
            import_module("approach.sizing_tasks").Sizey,
        )
        self._pandas = import_module("pandas")
        self._read_bytes = read_bytes
        self._learned: dict[str, tuple[Any, int]] = {}

    def limits(self, seen: Observation, past: Past) -> Iterator[float]:
        """Yield the limits of a task's attempts."""
        asked = float(seen.asked_memory_bytes or NODE_BYTES)
        predictor = self._predictor(seen.keys[0], past)
        if predictor is None:
            while True:
                yield asked
                asked *= 2
        need, read = float(seen.memory_needed_bytes or 0), self._input(seen)
        limit = _number(predictor.predict(read, need, asked)[0])
        for kills in range(1, 100):
            yield limit
            limit = _number(predictor.handle_underprediction(float(read.iloc[0]), limit, asked, kills, need))

    def _predictor(self, process: str, past: Past) -> Any:
        ended = past.of(process)
        predictor, count = self._learned.get(process, (None, 0))
        if predictor is None and len(ended) >= _LEARNED_FIRST:
            count = len(ended)
            inputs = self._pandas.DataFrame({"input_size": [float(self._input(one).iloc[0]) for one in ended]})
            needs = self._pandas.Series([float(one.memory_needed_bytes or 0) for one in ended])
            predictor = self._class(
                inputs, needs.values.reshape(-1, 1), 0.0, self._constants.OFFSET_STRATEGY.DYNAMIC, 0.05,
                self._constants.ERROR_STRATEGY.MAX_EVER_OBSERVED, True, "smoothed_mape",
            )  # fmt: skip
        for one in ended[count:] if predictor is not None else ():
            predictor.update_model(self._input(one), float(one.memory_needed_bytes or 0))
        self._learned[process] = predictor, len(ended) if predictor is not None else 0
        return predictor

    def _input(self, seen: Observation) -> Any:
        return self._pandas.Series([self._read_bytes[_identity(seen)]])


def _identity(seen: Observation) -> tuple[str, float, int | None]:
    return seen.keys[0], seen.submitted, seen.memory_needed_bytes


def _number(value: Any) -> float:
    return float(value.ravel()[0]) if hasattr(value, "ravel") else float(value)


def main(folder: Path, trace: Path) -> None:
    """Print the totals of a trace."""
    read = list(tasks(trace))
    # it prints each prediction
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        ways = _Sizey(folder, {_identity(seen): size for seen, size in read})
        found = totals(replayed([seen for seen, _ in read], ways.limits, cap_bytes=NODE_BYTES))
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
