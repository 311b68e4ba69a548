"""Proves the thread on real packages: builds them with Spack, measured, signed, and installs them again with stock Spack.

    scripts/prove real-packages [--only PACKAGE]… [--page FILE]

The whole environment of tests/labs/real_packages, ncurses and the C++ package included, takes five minutes on two cores.
FILE (default: docs/proofs/real-packages.md) receives the measured figures.
Exit codes: 0 proven · 1 not · 2 this machine can't try.
"""

import argparse
import datetime as dt
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from buildjob import telemetry
from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.spack.find import find
from buildjob.telemetry import Telemetry
from scripts import proof_page
from tests.labs.checkout import ROOT
from tests.labs.real_packages.lab import RealLab, differences
from tests.labs.real_packages.sources import SOURCES, FetchError, mirror
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import other_tree

PAGE = ROOT / "docs" / "proofs" / "real-packages.md"
_MIB, _KIB = 1 << 20, 1 << 10
_HOURS_SECONDS = 2 * 3600


def main() -> int:
    """Build, install again, write the page."""
    parser = argparse.ArgumentParser(prog="scripts/prove real-packages", description="Build real packages.")
    parser.add_argument("--only", metavar="PACKAGE", action="append", default=[], help="this package of the environment")
    parser.add_argument("--page", metavar="FILE", type=Path, default=PAGE, help="write the table to this file")
    parser.add_argument("--seed", help="taken and unused: nothing here is random")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spack-farm-proof-") as folder:
        try:
            lab = _laboratory(Path(folder))
        except (SpackError, FetchError) as error:
            print(f"scripts/prove: {error}", file=sys.stderr)
            return 2
        begun = time.monotonic()
        problem = _build_and_install_again(lab, asked.only)
        if problem:
            print(f"scripts/prove: {problem}", file=sys.stderr)
            return 1
        documents = [telemetry.read(path) for path in lab.folder.glob("out/*/telemetry.json")]
    documents.sort(key=lambda document: document.started_at)
    text = page(documents, seconds=time.monotonic() - begun)
    asked.page.parent.mkdir(parents=True, exist_ok=True)
    asked.page.write_text(text)
    print(text)
    return 0


def _laboratory(folder: Path) -> RealLab:
    if found := differences():
        raise FetchError("; ".join(found))
    spack = find("", os.environ, from_environment(os.environ))
    return RealLab(folder, spack, sources=mirror(source.package for source in SOURCES))


def _build_and_install_again(lab: RealLab, only: Sequence[str]) -> str:
    """Publish the packages, or all; install them with stock Spack into another tree. Return what went wrong, or nothing."""
    # Relocation can't grow a path inside a binary: the other tree's must not be longer than the first one's.
    target, again, key = lab.folder / "mirror", Path(tempfile.mkdtemp(prefix="again-")), Key(lab.folder / "k")
    publishing = (f"--mirror={target}", f"--signing-key-file={key.secret}", f"--out={lab.folder / 'out'}")
    wanted: list[list[str]] = [[f"--hash={lab.hash_of(name)}"] for name in only] or [[]]
    for words in wanted:
        done = lab.build(lab.environment_folder, *words, *publishing, timeout=_HOURS_SECONDS)
        if done.returncode:
            return f"the build ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    trusted = {"SPACK_GNUPGHOME": str(lab.folder / "g")}
    lab.stock_spack("gpg", "trust", key.public, environment=trusted)
    done = lab.stock_spack(
        "-e",
        lab.environment_folder,
        "install",
        "--cache-only",
        "--only-concrete",
        *only,
        scopes=[other_tree(again, target, misc_cache=lab.misc_cache)],
        environment=trusted,
        timeout=_HOURS_SECONDS,
    )
    shutil.rmtree(again)
    if done.returncode or "Good signature" not in done.stderr:
        return f"stock Spack does not install what was published: {done.returncode}\n{done.stderr[-3000:]}"
    return ""


def page(documents: Sequence[Telemetry], *, seconds: float) -> str:
    """Return the page: a row for each phase of each package, in the order in which they were built."""
    first = documents[0]
    rows = [row for document in documents for row in _rows(document)]
    return f"""# Real packages

Built from upstream's sources by `spack-farm build`, each package in a run of its own, signed, published to a folder, and
installed from there into another tree by stock Spack, signatures checked. Made by `scripts/prove real-packages`; don't edit.

- Commit {proof_page.commit()}, {dt.datetime.now(dt.UTC):%Y-%m-%d}; {seconds:.0f} s with Spack's starts and publishing.
- Spack {first.versions.spack}; spack-packages {first.reproduce.packages_commit[:12]}; {first.spec.architecture or "?"}.
- {first.machine.cpus} cores, {first.machine.memory_bytes / (1 << 30):.0f} GiB, control groups: {first.machine.cgroup}.

A total covers the whole `spack install` of the package; `spack-start` and `spack-end` are Spack's own time.
Peaks are working sets, Spack's Python included (about 75 MiB).

| package | phase | wall s | CPU s | peak MiB | binary KiB |
|---|---|---:|---:|---:|---:|
{chr(10).join(rows)}
"""


def _rows(document: Telemetry) -> list[str]:
    name = f"{document.spec.name}@{document.spec.version}"
    rows = []
    for phase in document.phases:
        cpu = "?" if phase.cpu_seconds is None else f"{phase.cpu_seconds:.1f}"
        rows.append(f"{phase.name} | {phase.wall_seconds:.1f} | {cpu} | {_mib(phase.memory_working_set_peak_bytes)} | ")
    totals, published = document.totals, document.publish
    rows.append(
        f"**total** | **{totals.wall_seconds:.1f}** | **{totals.cpu_seconds:.1f}** "
        f"| **{_mib(totals.memory_working_set_peak_bytes)}** | {published.bytes / _KIB if published else 0:.0f}"
    )
    return [f"| {name if index == 0 else ''} | {row} |" for index, row in enumerate(rows)]


def _mib(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / _MIB:.0f}"


if __name__ == "__main__":
    sys.exit(main())
