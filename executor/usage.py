"""What a script was given and used: one line for the job log, one document for the operator's `[telemetry] folder`.

`used_line` and `document` decide, `report` logs and writes. The keys are those of telemetry.json, version 1
(docs/reference/telemetry.md). The driver measures a container, not a package: it knows no phases and no samples, and a
required figure that it does not know is 0.
"""

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import msgspec

from executor import metrics
from executor.attempt import Attempt
from executor.build_stage import is_build_script, is_user_script
from executor.call import Call
from executor.files import write_private
from executor.job import Job, read_job
from executor.log import Log
from executor.size_keys import job_compiler, read_variants
from executor.stream_state import ScriptEnd
from executor.units import in_cores, in_gib, in_time
from executor.version import VERSION

_SHORTEST_RATE_SECONDS = 1.0
"""CPU time is counted in ticks, and read a little before and after the script."""
_MOST_CORES = 10_000
_MOST_DIGITS = 4
_MOST_KILLS = 100
"""Listed one by one: the count comes from the job's container, which may report any number."""


def used_line(end: ScriptEnd, attempt: Attempt, *, wall_seconds: float) -> str:
    """Return `used 11.8 of 12.0 GiB (working set), 3.4 of 4 cores, 41 min`; without counters, only the time.

    The working set is the container's peak since its start, the cores are the script's average. A script that is too short
    to have one has no cores.
    """
    parts = []
    working_set = _working_set_peak_bytes(end, attempt)
    if working_set:
        parts.append(f"{_memory(working_set, _limit_bytes(end, attempt))} (working set)")
    cpu_seconds = _cpu_seconds(end, attempt, wall_seconds=wall_seconds)
    if cpu_seconds and wall_seconds >= _SHORTEST_RATE_SECONDS:
        of = f" of {in_cores(attempt.size.cpu_limit_millicores)}" if attempt.size.cpu_limit_millicores else ""
        parts.append(f"{in_cores(1000 * cpu_seconds / wall_seconds)}{of} cores")
    parts.append(in_time(wall_seconds))
    return f"used {', '.join(parts)}"


def _limit_bytes(end: ScriptEnd, attempt: Attempt) -> int | None:
    return end.after.limit_bytes or attempt.size.memory_limit_bytes


def _working_set_peak_bytes(end: ScriptEnd, attempt: Attempt) -> int:
    """Return the peak, at most the limit; 0 if it is not known."""
    peak = max(end.working_set_peak_bytes, end.after.working_set_bytes)
    return min(peak, _limit_bytes(end, attempt) or peak)


def _cpu_seconds(end: ScriptEnd, attempt: Attempt, *, wall_seconds: float) -> float:
    """Return the script's CPU time, at most what its limit, or else the largest machine, gives; 0 if it is not known."""
    if not end.before.cpu_seconds or not end.after.cpu_seconds:
        return 0.0  # one counter alone says what the container used since its start
    most_cores = (attempt.size.cpu_limit_millicores or 1000 * _MOST_CORES) / 1000
    return min(max(end.after.cpu_seconds - end.before.cpu_seconds, 0.0), most_cores * max(wall_seconds, 0.0))


def _memory(used_bytes: int, limit_bytes: int | None) -> str:
    """Return `11.8 of 12.0 GiB`; with two units if they differ."""
    used = in_gib(used_bytes)
    if limit_bytes is None:
        return used
    limit = in_gib(limit_bytes)
    number, _, unit = used.partition(" ")
    return f"{number if limit.endswith(f' {unit}') else used} of {limit}"


def report(end: ScriptEnd, attempt: Attempt, call: Call, *, began: float, wall_seconds: float) -> None:
    """Log what a user script has used, and write the document about a build script where the settings name a folder.

    `began` is a Unix time, `wall_seconds` is measured by a monotonic clock.
    """
    if is_user_script(call.stage):
        call.job_log.note(used_line(end, attempt, wall_seconds=wall_seconds))
    if is_build_script(call.stage) and call.settings.telemetry.folder:
        job = read_job(call.invocation.response_file)
        ended = began + wall_seconds
        content = document(end, attempt, job, variables=call.invocation.variables, began=began, ended=ended)
        _write(content, Path(call.settings.telemetry.folder) / f"{attempt.pod}.json", call.job_log)


def amounts(end: ScriptEnd, attempt: Attempt, *, wall_seconds: float) -> metrics.Changes:
    """Return what a build script was given and used, for the counters; only pairs of which both are known."""
    changes: metrics.Changes = {}
    used_bytes, asked_bytes = _working_set_peak_bytes(end, attempt), attempt.size.memory_request_bytes
    if used_bytes and asked_bytes:
        changes |= {metrics.MEMORY_ASKED: asked_bytes, metrics.MEMORY_USED: used_bytes}
    used_seconds, asked_cpu = _cpu_seconds(end, attempt, wall_seconds=wall_seconds), attempt.size.cpu_request_millicores
    if used_seconds and asked_cpu:
        changes |= {metrics.CPU_ASKED: asked_cpu / 1000 * wall_seconds, metrics.CPU_USED: used_seconds}
    return changes


def _write(content: dict[str, Any], path: Path, job_log: Log) -> None:
    """Write the document by rename. A failure is logged and does not fail the job."""
    try:
        write_private(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    except OSError as error:
        job_log.warning(f"the document about this attempt cannot be written, see telemetry.folder: {error}")


def document(  # noqa: PLR0913 (each is a source of its own)
    end: ScriptEnd, attempt: Attempt, job: Job, *, variables: dict[str, str], began: float, ended: float
) -> dict[str, Any]:
    """Return the document. `began` and `ended` are Unix times of the script's stage in seconds."""
    kills = min(max(end.after.memory_kills - end.before.memory_kills, 0), _MOST_KILLS)
    kill = {
        "process": None,
        "inferred": True,
        "limit_bytes": _limit_bytes(end, attempt),
        "at_seconds": ended - began,
    }
    return {
        "version": 1,
        "complete": True,
        "started_at": _rfc3339(began),
        "ended_at": _rfc3339(ended),
        "outcome": "script_failed" if end.exit_code else "script_succeeded",
        "exit_code": end.exit_code,
        "spec": _spec(attempt, job, variables),
        "job": {
            "id": str(job.id),
            "name": job.job_info.name,
            "url": job.public_variables.get("CI_JOB_URL", ""),
            "project": job.job_info.project_full_path,
            "ref": job.git_info.ref,
            "ref_protected": bool(job.git_info.protected),
            "pipeline_id": str(job.job_info.pipeline_id),
            "image": attempt.image,
            "attempt": attempt.number,
            "runner": variables.get("CI_RUNNER_SHORT_TOKEN", ""),
            "pod": attempt.pod,
            "node": attempt.node,
        },
        "asked": {
            "cpu_millicores": attempt.size.cpu_request_millicores,
            "memory_bytes": attempt.size.memory_request_bytes,
            "memory_limit_bytes": attempt.size.memory_limit_bytes,
            "disk_bytes": attempt.size.disk_request_bytes,
        },
        "machine": {"cpus": 0, "memory_bytes": 0, "memory_limit_bytes": end.after.limit_bytes},
        "totals": {
            "wall_seconds": ended - began,
            "cpu_seconds": _cpu_seconds(end, attempt, wall_seconds=ended - began),
            "memory_working_set_peak_bytes": _working_set_peak_bytes(end, attempt) or None,
            "memory_peak_bytes": end.after.peak_bytes or None,
        },
        "memory_kills": [kill] * kills,
        "reproduce": {"image_digest": attempt.image_digest},
        "versions": {"spack_farm": VERSION, "python": sys.version.partition(" ")[0]},
    }


def _spec(attempt: Attempt, job: Job, variables: dict[str, str]) -> dict[str, Any]:
    """Return what the job builds, as far as its variables say; only a Spack build has a hash."""
    known = {
        "hash": variables.get("SPACK_JOB_SPEC_DAG_HASH"),
        "architecture": variables.get("SPACK_JOB_SPEC_ARCH"),
        "compiler": job_compiler(variables),
        "variants": read_variants(variables.get("SPACK_JOB_SPEC_VARIANTS", "")),
        "build_jobs": _build_jobs(attempt, variables),
    }
    name = variables.get("SPACK_JOB_SPEC_PKG_NAME") or job.job_info.name
    version = variables.get("SPACK_JOB_SPEC_PKG_VERSION", "")
    return {"name": name, "version": version} | {key: value for key, value in known.items() if value}


def _build_jobs(attempt: Attempt, variables: dict[str, str]) -> int:
    """Return the number of parallel jobs of the job's build, by the job's own word before the size table's; 0 if unknown."""
    asked = variables.get("SPACK_BUILD_JOBS", "")
    return int(asked) if asked.isdecimal() and len(asked) <= _MOST_DIGITS else attempt.build_jobs or 0


def _rfc3339(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
