"""How often the first error of a log is the right one: ours, ctest's and Spack's rules over the logs in tests/data/logs.

usage: scripts/bench log-rules [--quick] [--wrong]
right: the first error reported is the line that a maintainer calls the cause, or one that is as good (expected.toml).
missed: failing logs without any error. false: passing logs with an error, and failing logs with an error in a line that
speaks of none. `--quick` leaves the real ctest out; `--wrong` lists our wrong answers.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ctest_xml.scan import scan
from scripts.benches.parts.contest import ROOT, spack_python, spack_root, table
from scripts.benches.parts.ctest_scrape import scraped
from scripts.benches.parts.known_logs import KnownLog, known_logs

_SPACK_CHILD = Path(__file__).parent / "parts/spack_errors_child.py"
Errors = dict[str, list[int]]
"""Of each log, the lines of the errors that were reported."""


def main() -> int:
    """Run all rules over all logs, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench log-rules", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the real ctest: within 10 seconds")
    parser.add_argument("--wrong", action="store_true", help="list each of our wrong answers")
    arguments = parser.parse_args()
    logs = known_logs(ROOT / "tests/data/logs")
    found: dict[str, Errors] = {"ours": _ours(logs, "spack"), "rules ctest": _ours(logs, "ctest")}
    missing = []
    for name, run in _peers(quick=arguments.quick):
        errors = run(logs)
        found |= {name: errors} if errors else {}
        missing += [] if errors else [name]
    scores = {name: score(logs, errors) for name, errors in found.items()}
    _print(logs, found, scores, missing)
    if arguments.wrong:
        print(*_wrong(logs, found["ours"]), sep="\n")
    print(json.dumps(_document(scores)))
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a rule set got right."""

    failing: int = 0
    right: int = 0
    missed: int = 0
    false_in_failing: int = 0
    """Failing logs with an error in a line that speaks of none."""
    passing: int = 0
    false_in_passing: int = 0
    """Passing logs with an error."""
    false_errors: int = 0
    """Errors in passing logs, and errors in such lines of failing logs."""

    @property
    def right_percent(self) -> float:
        """Share of failing logs whose first error is the right one."""
        return 100 * self.right / max(1, self.failing)

    @property
    def false_percent(self) -> float:
        """Share of passing logs with a false error."""
        return 100 * self.false_in_passing / max(1, self.passing)


def score(logs: list[KnownLog], errors: Errors) -> Score:
    """Compare the lines that rules report with those that a maintainer sees."""
    failing = [log for log in logs if not log.passes]
    passing = [log for log in logs if log.passes]
    false = {log.name: [line for line in errors[log.name] if line not in log.errors] for log in logs}
    return Score(
        failing=len(failing),
        right=sum(log.is_first(errors[log.name]) for log in failing),
        missed=sum(not errors[log.name] for log in failing),
        false_in_failing=sum(bool(false[log.name]) for log in failing),
        passing=len(passing),
        false_in_passing=sum(bool(false[log.name]) for log in passing),
        false_errors=sum(map(len, false.values())),
    )


def _ours(logs: list[KnownLog], rules: str) -> Errors:
    found: Errors = {}
    for log in logs:
        with log.path.open("rb") as file:
            events = scan(file, rules="spack" if rules == "spack" else "ctest")
            found[log.name] = [event.log_line for event in events if event.kind == "error"]
    return found


def _peers(*, quick: bool) -> list[tuple[str, Callable[[list[KnownLog]], Errors]]]:
    return [("Spack's parser", _spack), *([] if quick else [("ctest", _ctest)])]


def _spack(logs: list[KnownLog]) -> Errors:
    root = spack_root()
    if root is None:
        return {}
    command = [spack_python(root), _SPACK_CHILD, root, *(log.path for log in logs)]
    lines = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()
    return {log.name: json.loads(line) for log, line in zip(logs, lines, strict=True)}


def _ctest(logs: list[KnownLog]) -> Errors:
    if shutil.which("ctest") is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="bench-log-rules-") as folder:
        return {log.name: [line for kind, line in scraped(log.path, Path(folder)) if kind == "error"] for log in logs}


def _print(logs: list[KnownLog], found: dict[str, Errors], scores: dict[str, Score], missing: list[str]) -> None:
    rows: list[tuple[str, ...]] = [("family", "failing", "passing", *(f"{name}: right, false" for name in found))]
    for family in sorted({log.family for log in logs}):
        part = [log for log in logs if log.family == family]
        of_family = {name: score(part, errors) for name, errors in found.items()}
        any_score = next(iter(of_family.values()))
        cells = (f"{one.right}/{one.failing}, {one.false_in_passing}/{one.passing}" for one in of_family.values())
        rows.append((family, str(any_score.failing), str(any_score.passing), *cells))
    print(table(rows), end="\n\n")
    summary: list[tuple[str, ...]] = [
        ("", "first error right", "failing logs missed", "passing logs with an error", "false errors, all logs")
    ]
    for name, one in scores.items():
        right = f"{one.right_percent:.1f} % of {one.failing}"
        false = f"{one.false_percent:.1f} % of {one.passing}"
        summary.append((name, right, str(one.missed), false, f"{one.false_errors} in {_lines(logs):,} lines"))
    print(table(summary))
    print(*(f"{name}: not on this machine" for name in missing), sep="\n", end="\n" if missing else "")


def _lines(logs: list[KnownLog]) -> int:
    return sum(log.path.read_bytes().count(b"\n") for log in logs)


def _wrong(logs: list[KnownLog], errors: Errors) -> list[str]:
    told = []
    for log in logs:
        lines = log.path.read_bytes().split(b"\n")
        reported = errors[log.name]
        if not log.passes and not log.is_first(reported):
            first = f"line {reported[0]}" if reported else "no error"
            told.append(f"{log.name}: {first}, and the cause is line {log.first}: {log.text}")
        false = [line for line in reported if line not in log.errors]
        told += [f"{log.name}: line {line} is no error: {lines[line - 1][:150].decode(errors='replace')}" for line in false]
    return told


def _document(scores: dict[str, Score]) -> dict[str, object]:
    shown = {
        name: {
            "first_error_right_percent": round(one.right_percent, 1),
            "failing_logs_missed": one.missed,
            "passing_logs_with_an_error_percent": round(one.false_percent, 1),
            "false_errors": one.false_errors,
        }
        for name, one in scores.items()
    }
    return {"bench": "log-rules", "ours": shown.pop("ours"), "peers": shown}


if __name__ == "__main__":
    sys.exit(main())
