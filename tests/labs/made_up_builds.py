"""Telemetry of many made-up builds, as bytes: for pages of many builds, in tests and for scripts/screenshot."""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from tests.labs.telemetry_samples import GIB, MIB

BEGIN = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)
_NAMES = ("zlib", "hdf5", "openmpi", "py-numpy", "cmake", "gcc", "trilinos", "petsc", "boost", "llvm")
_ERRORS = (
    "/tmp/stage/spack-src/src/H5Tconv.c:1173:9: error: implicit declaration of function 'H5T_conv_half'",
    'CMake Error at CMakeLists.txt:41 (find_package): Could not find a package configuration file provided by "MPI"',
    "collect2: error: ld returned 1 exit status",
)


def at(minutes: float) -> str:
    """Return a time of the made-up day in RFC 3339."""
    return (BEGIN + dt.timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def document(
    name: str = "zlib",
    version: str = "1.3.1",
    *,
    begin: float = 0.0,
    minutes: float = 2.0,
    memory_bytes: int | None = 400 * MIB,
    outcome: str = "built",
    dag_hash: str = "",
    needs: tuple[str, ...] = (),
    job: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return one document; `begin` in minutes since `BEGIN`."""
    wall = 60.0 * minutes
    return (
        {
            "version": 1,
            "complete": True,
            "started_at": at(begin),
            "ended_at": at(begin + minutes),
            "outcome": outcome,
            "exit_code": 0 if outcome == "built" else 1,
            "spec": {
                "name": name,
                "version": version,
                "hash": dag_hash or (name.replace("-", "") + "x" * 32)[:32],
                "architecture": "linux-debian12-x86_64_v3",
                "compiler": "gcc@12.2.0",
                "dependencies": [{"name": each, "version": "1", "hash": each, "types": ["link"]} for each in needs],
                "build_jobs": 8,
            },
            "asked": {"memory_bytes": 2 * GIB},
            "machine": {"cpus": 8, "memory_bytes": 32 * GIB},
            "totals": {"wall_seconds": wall, "cpu_seconds": 5 * wall, "memory_working_set_peak_bytes": memory_bytes},
            "phases": [
                {"name": "spack-start", "start_seconds": 0, "wall_seconds": min(3.0, wall)},
                {"name": "build", "start_seconds": 3, "wall_seconds": max(wall - 3.0, 0.0)},
            ],
            "versions": {"spack_farm": "0.1.0", "python": "3.11.7"},
        }
        | ({"job": job} if job else {})
        | changes
    )


def job(number: int, *, pipeline: str = "77", taken: float | None = None, began: float | None = None) -> dict[str, Any]:
    """Return the facts of a CI job; the Runner took it and the agent began so many minutes since `BEGIN`."""
    base = "https://gitlab.example.org/farm/packages/-"
    times = {"started_at": taken, "agent_started_at": began}
    return {
        "id": str(number),
        "name": f"job {number}",
        "url": f"{base}/jobs/{number}",
        "project": "farm/packages",
        "ref": "develop",
        "pipeline_id": pipeline,
        "pipeline_url": f"{base}/pipelines/{pipeline}",
        "pipeline_created_at": at(0),
        "commit": "9b1c7f0c3a5d",
        "commit_url": f"{base}/commit/9b1c7f0c3a5d",
    } | {name: at(minutes) for name, minutes in times.items() if minutes is not None}


def encoded(made: dict[str, Any]) -> bytes:
    """Return a document as it is written."""
    return json.dumps(made).encode()


def many(count: int) -> list[dict[str, Any]]:
    """Return so many builds of a farm: names come again with new versions, one in nine fails."""
    made = []
    for number in range(count):
        name = _NAMES[number % len(_NAMES)]
        is_bad = number % 9 == 4
        made.append(
            document(
                name,
                f"{1 + number // 500}.{number // 10 % 50}",
                begin=3.0 * number,
                minutes=1 + number * 7 % 50,
                memory_bytes=(200 + number * 37 % 1700) * MIB,
                outcome="build_failed" if is_bad else "built",
                dag_hash=_hash(number),
                job=job(1000 + number, pipeline=str(number // 40), taken=3.0 * number - 2, began=3.0 * number - 1),
            )
            | ({"first_error": {"line": 41 + number, "text": _ERRORS[number // 9 % 3]}} if is_bad else {})
        )
    return made


def run_folder(out: Path, made: dict[str, Any], *, log: str = "", page: str = "<p>page</p>") -> Path:
    """Write a run folder as the agent leaves it, without what tests do not look at."""
    spec = made["spec"]
    folder = out / f"{spec['name']}-{spec['version']}-{spec['hash'][:7]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "telemetry.json").write_bytes(encoded(made))
    (folder / "report.html").write_text(page)
    (folder / "build.log").write_text(log)
    return folder


def _needs(number: int) -> tuple[str, ...]:
    return tuple(_hash(need) for need in (number - 1, number - 3) if need >= 0)


def _hash(number: int) -> str:
    return f"{number:x}".rjust(7, "a").ljust(32, "q")


def pipeline(count: int) -> list[dict[str, Any]]:
    """Return the builds of one pipeline, each of which needs the one before, and another."""
    begin = 200.0
    made, ended = [], begin
    for number in range(count):
        taken, minutes = ended + 1.5, 4.0 + number * 7 % 23
        facts = job(9000 + number, pipeline="1284410", taken=taken, began=taken + 1.2) | {"pipeline_created_at": at(begin)}
        publish = {"state": "published", "url": "", "wall_seconds": 9.0}
        name = _NAMES[number % len(_NAMES)]
        made.append(
            document(
                name, "2.0", begin=taken + 2.5, minutes=minutes, dag_hash=_hash(number), needs=_needs(number), job=facts,
                publish=publish, memory_bytes=(300 + 170 * number) * MIB,
            )
        )  # fmt: skip
        ended = taken + 2.5 + minutes
    return made


def main() -> None:
    """Write run folders for the pictures of docs/: `python -m tests.labs.made_up_builds FOLDER`."""
    for made in (*many(60), *pipeline(8)):
        run_folder(Path(sys.argv[1]), made)


if __name__ == "__main__":
    main()
