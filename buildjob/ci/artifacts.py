"""The folders that GitLab keeps of a job, laid out as `spack ci rebuild` lays them out; no file in them has an environment.

    logs/          spack-build-out.txt.gz, the build's log; the package's archived files
    reproduction/  the concrete environment, the job's spec, install.sh, test.sh: what `spack ci reproduce-build` reads
    tests/         what the stand-alone tests printed, Spack's summary of them, and their results as XML

Knows nothing of how the package was built. Source: Spack 1.1, lib/spack/spack/cmd/ci.py.
"""

import gzip
import json
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from buildjob.ci.job import CIJob
from buildjob.masking import mask
from buildjob.run_folder import LOG

_LARGEST_COPY_BYTES = 64 << 20
_ARCHIVED_BYTES = 16 << 20
_ARCHIVED_FILES = 200


class Scripts(msgspec.Struct, frozen=True, kw_only=True):
    """What the two scripts for people do."""

    install: list[list[str]]
    test: list[str]


def begin(job: CIJob) -> None:
    """Empty the job's folders: artifacts of earlier jobs may lie in them. Raises OSError."""
    for folder in (job.logs, job.reproduction, job.tests, job.artifacts / "cdash_report"):
        if folder.is_dir():
            shutil.rmtree(folder)
        elif folder.exists():
            folder.unlink()
    for folder in (job.logs, job.reproduction, job.tests):
        folder.mkdir(parents=True, exist_ok=True)  # one may lie in another
    for source in dict.fromkeys((job.environment, job.artifacts)):
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_COPY_BYTES:
                shutil.copyfile(path, job.reproduction / path.name)


def save_reproduction(job: CIJob, name: str, spec_file: Path, scripts: Scripts, spack_info: str) -> None:
    """Write what builds the same spec again. Raises OSError."""
    folder = job.reproduction
    shutil.copyfile(spec_file, folder / f"{name}.json")
    repro = {"job_name": job.job_name or None, "job_spec_json": f"{name}.json", "ci_project_dir": str(job.project)}
    (folder / "repro.json").write_text(json.dumps(repro))
    (folder / "spack_info.txt").write_text(f"\n{spack_info}\n")
    _write_script(folder / "install.sh", "install", scripts.install)
    _write_script(folder / "test.sh", "test", [scripts.test])


def _write_script(path: Path, title: str, commands: Iterable[Sequence[str]]) -> None:
    lines = "\n".join(" ".join(f'"{word}"' for word in command) + "\n" for command in commands)
    path.write_text(f"#!/bin/sh\n\n\n# spack {title} command\nset -e\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def save_logs(job: CIJob, run_folder: Path, archived: Iterable[tuple[str, Path]], secret_values: frozenset[str]) -> None:
    """Keep the build's log and the package's archived files, packed; the latter without secrets and bounded.

    `archived` has each file with its name below a folder. Here they lie in one folder, as Spack has them, unless two have
    the same name. Raises OSError.
    """
    if (run_folder / LOG).exists():
        _pack(run_folder / LOG, job.logs / "spack-build-out.txt.gz")
    left = _ARCHIVED_BYTES
    for name, path in list(archived)[:_ARCHIVED_FILES]:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > left:
            continue
        content = path.read_bytes()
        left -= len(content)
        for value in secret_values:
            content = content.replace(value.encode(), b"[MASKED]")
        target = job.logs / f"{Path(name).name}.gz"
        target = job.logs / f"{name}.gz" if target.exists() else target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(content, mtime=0))


def save_tests(job: CIJob, logs: Mapping[str, str], report: bytes, report_name: str, secrets: frozenset[str]) -> None:
    """Keep the logs of the stand-alone tests by their names, packed, and their results. Raises OSError."""
    for name, text in logs.items():
        (job.tests / f"{name}.gz").write_bytes(gzip.compress(mask(text, secrets).encode(), mtime=0))
    (job.tests / report_name).write_bytes(report)


def _pack(source: Path, target: Path) -> None:
    with source.open("rb") as unpacked, gzip.open(target, "wb") as packed:
        shutil.copyfileobj(unpacked, packed)
