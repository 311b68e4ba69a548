"""Proves sizes on real packages: sized by a first build each, they are built twice more within these limits.

    scripts/prove sizing-real [--only PACKAGE]… [--jobs N]… [--minutes N] [--folder FOLDER] [--page FILE] [--csv FILE]

Builds each package of tests/labs/real_packages/many three times with Spack at 1 and at 2 jobs: the first time with all
memory, then in a control group with the limit that the first build's size table gives, one step up its ladder after a kill.
A farm builds with one number of jobs, so each number has a history of its own. Finished builds stay in FOLDER (default: in
the user's cache), so the same call continues what was stopped. All of it takes hours on two cores.
Exit codes: 0 proven · 1 not, or not all built yet · 2 this machine can't try.
"""

import argparse
import contextlib
import csv
import dataclasses
import datetime as dt
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from buildjob import telemetry
from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.spack.find import find
from scripts import proof_page
from sizing.builds import Build
from sizing.documents import read_build
from sizing.fit import fit
from sizing.observations import PolicySettings
from sizing.policies.table import POLICIES
from sizing.size_table import Row
from tests.labs.checkout import ROOT
from tests.labs.real_packages.lab import MANY, RealLab, differences
from tests.labs.real_packages.sources import FetchError, mirror, read_sources

PROOFS = ROOT / "docs" / "proofs"
ROUNDS, JOBS = (1, 2, 3), (1, 2)
MOST_KILLED, MOST_SLACK, LEAST_PACKAGES = 0.005, 0.25, 40
AGENT_BYTES = 48 << 20
"""The agent's own memory, which it counts for no build: it is in the group, too."""
SETTINGS = PolicySettings(floor_bytes=32 << 20)
"""The usual floor is above what these packages need: all of them would get the same."""
_MIB = 1 << 20
_CGROUPS = Path("/sys/fs/cgroup/memory")
_BUILD_SECONDS, _AT_ONCE = 3600, 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
    """One build, as its row in the CSV."""

    package: str
    version: str
    round: int
    jobs: int
    attempt: int
    asked_mib: float | None
    """None in the first round."""
    working_set_peak_mib: float
    anonymous_peak_mib: float
    cpu_seconds: float
    wall_seconds: float
    outcome: str
    killed: bool


class Wanted(NamedTuple):
    """One build to be made."""

    package: str
    round: int
    jobs: int


class CannotTry(Exception):  # noqa: N818  named for what it is
    """What the proof needs is not on this machine."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """Where finished builds are: a telemetry document for each package, round, number of jobs and attempt."""

    folder: Path

    def path(self, package: str, *, number: int, jobs: int, attempt: int) -> Path:
        """Return where a build's document is, or will be."""
        return self.folder / f"{package}-round{number}-jobs{jobs}-attempt{attempt}.json"

    def build(self, package: str, *, number: int, jobs: int, attempt: int) -> Build | None:
        """Return a finished build."""
        try:
            content = self.path(package, number=number, jobs=jobs, attempt=attempt).read_bytes()
        except FileNotFoundError:
            return None
        return read_build(content, trusted=True, now=time.time())

    def attempts(self, package: str, *, number: int, jobs: int) -> list[Build]:
        """Return the finished attempts, in their order."""
        found = (self.build(package, number=number, jobs=jobs, attempt=one) for one in range(1, SETTINGS.most_attempts + 1))
        return [build for build in found if build]

    def is_done(self, package: str, *, number: int, jobs: int) -> bool:
        """Return whether the last attempt was not killed, or no further one is allowed."""
        done = self.attempts(package, number=number, jobs=jobs)
        return bool(done) and (done[-1].killed_at_bytes is None or len(done) == SETTINGS.most_attempts)

    def row(self, package: str, *, jobs: int, policy: str) -> Row:
        """Return the size that the first round gives."""
        first = self.attempts(package, number=1, jobs=jobs)[-1]
        fitted = fit([first.observation()], {}, policy=policy, now=first.ended, settings=SETTINGS)
        return next(fitted.rows[key] for key in first.observation().keys if key in fitted.rows)


def main() -> int:
    """Build what is missing, write page and CSV."""
    asked, at = _arguments(), proof_page.commit()
    sources = {source.package: source for source in read_sources(MANY / "sources.csv")}
    packages = asked.only or list(sources)
    if unknown := sorted({*packages} - {*sources}):
        print(f"scripts/prove: not a package of {MANY / 'sources.csv'}: {' '.join(unknown)}", file=sys.stderr)
        return 2
    kept = Kept(asked.folder / "builds")
    kept.folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + asked.minutes * 60
    try:
        _build_all(kept, packages, asked, until=until)
    except (CannotTry, SpackError, FetchError) as error:
        print(f"scripts/prove: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("scripts/prove: interrupted; what was built is kept", file=sys.stderr)
    done = [
        name
        for name in packages
        if all(kept.is_done(name, number=each, jobs=jobs) for each in ROUNDS for jobs in asked.jobs)
    ]
    attempts = list(_attempts(kept, done, asked.jobs, policy=asked.policy))
    _write_csv(asked.csv, attempts)
    text, holds = page(attempts, wanted=len(packages), is_part=bool(asked.only), policy=asked.policy, at=at)
    asked.page.write_text(text)
    print(text)
    return 0 if holds else 1


def _arguments() -> argparse.Namespace:
    cache = from_environment(os.environ).cache / "sizing-real"
    parser = argparse.ArgumentParser(
        prog="scripts/prove sizing-real", description="Size real packages and build them again."
    )
    parser.add_argument("--only", metavar="PACKAGE", action="append", default=[], help="this package of the list")
    parser.add_argument("--jobs", metavar="N", type=int, action="append", choices=JOBS, help="only with so many jobs")
    parser.add_argument(
        "--minutes", metavar="N", type=float, default=600, help="start no build after so many (default: 600)"
    )
    parser.add_argument("--policy", choices=sorted(POLICIES), default="min_waste", help="default: min_waste")
    parser.add_argument("--folder", metavar="FOLDER", type=Path, default=cache, help=f"finished builds (default: {cache})")
    parser.add_argument("--page", metavar="FILE", type=Path, default=PROOFS / "sizing-real.md", help="the figures")
    parser.add_argument("--csv", metavar="FILE", type=Path, default=PROOFS / "sizing-real.csv", help="all builds")
    parser.add_argument("--seed", help="taken and unused: nothing here is random")
    asked = parser.parse_args()
    asked.jobs = asked.jobs or list(JOBS)
    return asked


def _build_all(kept: Kept, packages: Sequence[str], asked: argparse.Namespace, *, until: float) -> None:
    """Build what is missing, a few packages at a time, so that these are soon complete. Raises CannotTry."""
    todo = [
        name
        for name in packages
        if not all(kept.is_done(name, number=each, jobs=jobs) for each in ROUNDS for jobs in asked.jobs)
    ]
    if not todo or time.monotonic() >= until:
        return
    if found := differences(environment=MANY):
        raise CannotTry("; ".join(found))
    spack = find("", os.environ, from_environment(os.environ))
    sources = mirror(todo, sources=read_sources(MANY / "sources.csv"))
    with _turn(asked.folder, asked.jobs), tempfile.TemporaryDirectory(prefix="spack-farm-sizing-") as folder:
        lab = RealLab(Path(folder), spack, sources=sources, environment=MANY)
        failed = set[str]()
        for batch in _batches(todo, asked.jobs):
            for wanted in batch:
                if time.monotonic() >= until:
                    return
                if wanted.package not in failed and not _build(lab, wanted, kept, policy=asked.policy):
                    failed.add(wanted.package)


@contextlib.contextmanager
def _turn(folder: Path, numbers: Sequence[int]) -> Iterator[None]:
    """Hold the builds with these numbers of jobs; another call may make those with others. Raises CannotTry."""
    with contextlib.ExitStack() as held:
        for jobs in numbers:
            lock = held.enter_context((folder / f".lock-jobs{jobs}").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CannotTry(f"another call builds with {jobs} jobs in {folder}") from error
        yield


def _batches(packages: Sequence[str], numbers: Sequence[int]) -> Iterator[list[Wanted]]:
    """Yield builds of few packages at a time: all their rounds, then the next packages. A batch has each package once."""
    for start in range(0, len(packages), _AT_ONCE):
        for number in ROUNDS:
            for jobs in numbers:
                yield [Wanted(name, number, jobs) for name in packages[start : start + _AT_ONCE]]


def _build(lab: RealLab, wanted: Wanted, kept: Kept, *, policy: str) -> bool:
    """Build a package until it is not killed; return whether it could be built. Raises CannotTry."""
    name, number, jobs = wanted
    while not kept.is_done(name, number=number, jobs=jobs):
        before = len(kept.attempts(name, number=number, jobs=jobs))
        limit = None
        if number > 1:
            row = kept.row(name, jobs=jobs, policy=policy)
            ladder = [row.memory_limit_bytes or 0, *row.ladder_memory_bytes]
            limit = ladder[min(before, len(ladder) - 1)]
        out = lab.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        begun = time.monotonic()
        words = [
            str(lab.environment_folder),
            f"--hash={lab.hash_of(name)}",
            f"--jobs={jobs}",
            "--no-publish",
            f"--out={out}",
        ]
        with _group(limit) as inside:
            done = subprocess.run(
                [*inside, *lab.agent_argv(*words)],
                capture_output=True, text=True, errors="replace", env=lab.environment, cwd=lab.folder,
                timeout=_BUILD_SECONDS, check=False,
            )  # fmt: skip
        found = list(out.glob(f"{name}-*/telemetry.json"))
        # by itself, and after a kill, too: Spack refuses a list of which one is not installed, and removes none of it
        lab.stock_spack("uninstall", "-y", "--force", f"/{lab.hash_of(name)}")
        if done.returncode not in {0, 137} or len(found) != 1 or telemetry.read(found[0]).outcome == "already_there":
            print(f"{name} with {jobs} jobs ended with {done.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)
            return False
        target = kept.path(name, number=number, jobs=jobs, attempt=before + 1)
        part = target.with_suffix(".part")
        shutil.copy(found[0], part)
        part.replace(target)
        print(f"{name} round {number}, {jobs} jobs, attempt {before + 1}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return True


@contextlib.contextmanager
def _group(limit_bytes: int | None) -> Iterator[list[str]]:
    """Yield the argv that starts a program in a control group with this limit for its build; empty without a limit."""
    if limit_bytes is None:
        yield []
        return
    folder = _CGROUPS / f"spack-farm-proof-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes + AGENT_BYTES))
    except OSError as error:
        raise CannotTry(f"no control group with a memory limit can be made (root on cgroup v1): {error}") from error
    try:
        yield ["/bin/sh", "-c", f'echo 0 > {folder}/cgroup.procs; exec "$@"', "sh"]
    finally:
        deadline = time.monotonic() + 10
        while folder.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                folder.rmdir()
            time.sleep(0.02)


def _attempts(kept: Kept, packages: Sequence[str], jobs: Sequence[int], *, policy: str) -> Iterator[Attempt]:
    for name in packages:
        for each in jobs:
            row = kept.row(name, jobs=each, policy=policy)
            ladder = [row.memory_limit_bytes or 0, *row.ladder_memory_bytes]
            for number in ROUNDS:
                for index, build in enumerate(kept.attempts(name, number=number, jobs=each)):
                    asked = ladder[min(index, len(ladder) - 1)] / _MIB if number > 1 else None
                    yield _attempt(build, number=number, jobs=each, attempt=index + 1, asked_mib=asked)


def _attempt(build: Build, *, number: int, jobs: int, attempt: int, asked_mib: float | None) -> Attempt:
    return Attempt(
        package=build.name,
        version=build.version,
        round=number,
        jobs=jobs,
        attempt=attempt,
        asked_mib=None if asked_mib is None else round(asked_mib, 1),
        working_set_peak_mib=round((build.working_set_peak_bytes or 0) / _MIB, 1),
        anonymous_peak_mib=round((build.anonymous_peak_bytes or 0) / _MIB, 1),
        cpu_seconds=round(build.cpu_seconds or 0, 1),
        wall_seconds=round(build.wall_seconds or 0, 1),
        outcome=build.outcome,
        killed=build.killed_at_bytes is not None,
    )


def _write_csv(path: Path, attempts: Sequence[Attempt]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Attempt)])
        writer.writerows(dataclasses.astuple(one) for one in attempts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What the builds of the later rounds come to."""

    builds: int
    killed: int
    slack: float
    """The share of the GiB·s that were asked for and not used, those of killed attempts included."""


def figures(attempts: Sequence[Attempt]) -> Figures:
    """Return the figures of the attempts that had a limit."""
    later = [one for one in attempts if one.asked_mib is not None]
    asked = sum((one.asked_mib or 0) * one.wall_seconds for one in later)
    used = sum(min(one.working_set_peak_mib, one.asked_mib or 0) * one.wall_seconds for one in later if not one.killed)
    return Figures(
        builds=sum(one.attempt == 1 for one in later),
        killed=sum(one.killed and one.attempt == 1 for one in later),
        slack=1 - used / asked if asked else 0.0,
    )


def page(attempts: Sequence[Attempt], *, wanted: int, is_part: bool, policy: str, at: str) -> tuple[str, bool]:
    """Return the page, and whether all was built and holds."""
    whole = figures(attempts)
    complete = len({one.package for one in attempts})
    is_enough = complete == wanted if is_part else complete >= LEAST_PACKAGES
    holds = is_enough and whole.killed <= MOST_KILLED * whole.builds and whole.slack <= MOST_SLACK
    state = "complete" if complete == wanted else f"{wanted - complete} are not built yet; the same call continues"
    rows = [("all", whole), *((f"{jobs} jobs", figures([one for one in attempts if one.jobs == jobs])) for jobs in JOBS)]
    table = "\n".join(
        f"| {name} | {row.builds} | {row.killed} | {row.killed / row.builds:.2%} | {row.slack:.1%} |"
        for name, row in rows
        if row.builds
    )
    longest = max((one.wall_seconds for one in attempts), default=0.0)
    largest = max((one.working_set_peak_mib for one in attempts), default=0.0)
    text = f"""# Sizes of real packages

Packages of spack-packages, from upstream's sources, built by `spack-farm build` with Spack three times each; the second and
the third build had the memory that the size table of the first gave them, in a control group. Made by
`scripts/prove sizing-real`; don't edit.

- Commit {at}, {dt.datetime.now(dt.UTC):%Y-%m-%d}.
- Policy `{policy}`, no size below {SETTINGS.floor_bytes >> 20} MiB.
- {complete} of {wanted} packages ({state}); the longest build took {longest:.0f} s, the largest {largest:.0f} MiB.
- Promised: at most {MOST_KILLED:.1%} killed, at most {MOST_SLACK:.0%} slack, {LEAST_PACKAGES} packages;
  {"that holds" if holds else "that is not shown yet"}.
- Slack: of the GiB·s that were asked for, the share above the working set's peak.
- All builds: [sizing-real.csv](sizing-real.csv).

| builds with a limit | number | killed | of all | slack |
|---|---:|---:|---:|---:|
{table}
"""
    return text, holds


if __name__ == "__main__":
    sys.exit(main())
