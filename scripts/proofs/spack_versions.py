"""Proves that each Spack and installer gives the same: outcomes, phases, figures, binaries that stock Spack installs.

    scripts/prove spack-versions [--small] [--rounds N] [--page FILE]

Spack 1.1, and 1.2 with its old and its new installer, build hello-app and real packages from one lock, round by round in
turn. Each one's binaries are installed by stock Spack of both versions, signatures checked. Then each way to fail is tried.
FILE (default: docs/proofs/spack-versions.md) receives the result.
Exit codes: 0 proven · 1 not · 2 this machine can't try.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from buildjob import telemetry
from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.spack.find import SpackInstallation, find
from buildjob.telemetry import SURROUNDING_PHASES, Telemetry
from scripts import proof_page
from tests.labs.checkout import ROOT
from tests.labs.limits import limited_cgroup, small_disk
from tests.labs.real_packages.lab import RealLab, differences
from tests.labs.real_packages.sources import SOURCES, FetchError, mirror
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, other_tree

PAGE = ROOT / "docs" / "proofs" / "spack-versions.md"
OLDER, NEWER = "v1.1.0", "v1.2.0.dev0"
REAL = ("bzip2", "lz4", "jansson", "jsoncpp", "py-six")
"""Of tests/labs/real_packages; jsoncpp is C++, py-six Python."""
ALLOWED = 0.05
_LONG_SECONDS = 3.0
"""Of CPU: below this, the starts of processes and the clock's ticks are more than 5 % of a phase."""
_LARGE_MIB = 256
_HOUR_SECONDS = 3600
_MIB = 1 << 20


class NotProvenError(Exception):
    """What was to be shown is not so."""


class Side(NamedTuple):
    """A Spack with one of its installers."""

    version: str
    installer: str

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"{self.version.removeprefix('v')}, {self.installer}"

    @property
    def program(self) -> SpackInstallation:
        """Where it is. Raises SpackError."""
        paths = from_environment(os.environ)
        return find(str(paths.cache / "spack" / self.version / "spack"), os.environ, paths)


SIDES = (Side(OLDER, "old"), Side(NEWER, "old"), Side(NEWER, "new"))


class Plan(NamedTuple):
    """What is tried."""

    sides: Sequence[Side]
    names: Sequence[str]
    rounds: int
    with_failures: bool


WHOLE = Plan(SIDES, ("hello-app", *REAL), 3, with_failures=True)
SMALL = Plan((SIDES[0], SIDES[-1]), ("bzip2",), 1, with_failures=False)
"""What tests/integration/test_spack_versions.py does not build."""


class Bench:
    """One side's two laboratories, of the examples and of real packages, with what was built and published there."""

    def __init__(self, side: Side, folder: Path, sources: Path, key: Key) -> None:
        self.side, self.folder, self.key = side, folder, key
        for name in ("examples", "real"):
            (folder / name).mkdir(parents=True)
        installer = side.installer if side.version != OLDER else ""
        self.examples = SpackLab(folder / "examples", side.program, installer=installer)
        self.real = RealLab(folder / "real", side.program, sources=sources, installer=installer)
        self.mirror = folder / "mirror"

    def build(self, name: str, number: int) -> Telemetry:
        """Build a package, in the first round with what it needs, and publish it; return its document."""
        out = self.folder / f"out-{number}"
        lab = self.examples if name == "hello-app" else self.real
        what = [name] if lab is self.examples else [str(self.real.environment_folder), f"--hash={self.real.hash_of(name)}"]
        if number:
            lab.forget(name)
        publishing = () if number else (f"--mirror={self.mirror}", f"--signing-key-file={self.key.secret}")
        done = lab.build(*what, *publishing, f"--out={out}", timeout=_HOUR_SECONDS)
        if done.returncode:
            raise NotProvenError(
                f"{self.side.title}: {name} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return _document(out, name)


def _document(out: Path, name: str) -> Telemetry:
    (path,) = out.glob(f"{name}-[0-9]*/telemetry.json")
    return telemetry.read(path)


def install_again(made: Bench, reader: Bench, names: Sequence[str]) -> None:
    """Let stock Spack of another side install what one has published, trusting its key; and refuse it without."""
    for is_trusted in (False, True):
        # a path inside a binary can't grow: the other tree's must not be longer than the first one's
        folder = Path(tempfile.mkdtemp(prefix="again-"))
        try:
            home = {"SPACK_GNUPGHOME": str(folder / "g")}
            if is_trusted:
                reader.examples.stock_spack("gpg", "trust", made.key.public, environment=home)
            for name in names:
                done = _install(made, reader, name, folder / name, home)
                if (done.returncode == 0) != is_trusted:
                    words = "is not installed by" if is_trusted else "is installed without a trusted key by"
                    raise NotProvenError(
                        f"{name} of {made.side.title} {words} stock Spack {reader.side.title}: {done.returncode}\n"
                        f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
                    )
        finally:
            shutil.rmtree(folder)


def _install(
    made: Bench, reader: Bench, name: str, folder: Path, home: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    folder.mkdir()
    if name == "hello-app":
        (spec,) = made.folder.glob("out-0/hello-app-*/spec.json")
        words, lab, cache = ["install", "--cache-only", str(spec)], reader.examples, None
    else:
        words = ["-e", str(made.real.environment_folder), "install", "--cache-only", "--only-concrete", name]
        lab, cache = reader.real, reader.real.misc_cache
    scope = other_tree(folder, made.mirror, misc_cache=cache)
    return lab.stock_spack(*words, scopes=[scope], environment=dict(home), timeout=_HOUR_SECONDS)


# ways to fail


def _plain(*arguments: str) -> Callable[[SpackLab, Path], int]:
    def run(lab: SpackLab, folder: Path) -> int:
        return lab.build(*arguments, "--out", folder / "out", timeout=_HOUR_SECONDS).returncode

    return run


def _memory_kill(lab: SpackLab, folder: Path) -> int:
    with limited_cgroup(300 * _MIB) as enter:
        argv = [*enter, *lab.agent_argv("hello-hungry", "-j2", "--out", folder / "out", "--interval", "0.2")]
        return subprocess.run(argv, capture_output=True, env=lab.environment, check=False).returncode


def _term(lab: SpackLab, folder: Path) -> int:
    argv = lab.agent_argv("hello-stubborn", "--out", folder / "out")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=lab.environment) as agent:
        assert agent.stdout
        for line in agent.stdout:
            if line.strip() == b"READY":
                agent.send_signal(signal.SIGTERM)
                break
        agent.stdout.read()
        return agent.wait()


def _full_disk(lab: SpackLab, folder: Path) -> int:
    with small_disk(folder / "disk", megabytes=24) as disk:
        scope = folder / "scope"
        scope.mkdir()
        (scope / "config.yaml").write_text(f"config: {{install_tree: {{root: {disk}/opt}}}}\n")
        return lab.build("-C", scope, "hello-filler", "--out", folder / "out").returncode


FAILURES: Mapping[str, tuple[str, int, str, Callable[[SpackLab, Path], int]]] = {
    "a broken package": ("hello-broken", 1, "build_failed", _plain("hello-broken")),
    "a source that cannot be had": ("hello-unfetchable", 4, "fetch_failed", _plain("hello-unfetchable")),
    "a dependency that does not build": ("hello-needs-broken", 6, "dependency_failed", _plain("hello-needs-broken")),
    "a memory kill": ("hello-hungry", 137, "memory_killed", _memory_kill),
    "TERM": ("hello-stubborn", 143, "interrupted", _term),
    "a time-out": ("hello-stubborn", 124, "timed_out", _plain("hello-stubborn", "--timeout", "25s")),
    "a full disk": ("hello-filler", 5, "disk_full", _full_disk),
}
"""Title -> package, exit code, outcome, and how it is made."""


def fail(bench: Bench) -> None:
    """Try each way to fail."""
    bench.examples.restore()
    for number, (title, (package, code, outcome, run)) in enumerate(FAILURES.items()):
        folder = bench.folder / f"failure-{number}"
        folder.mkdir()
        got = run(bench.examples, folder)
        found = _document(folder / "out", package)
        if (got, found.outcome) != (code, outcome):
            raise NotProvenError(
                f"{bench.side.title}: {title}: {got}, {found.outcome}; expected: {code}, {outcome}\n"
                + (folder / "out").glob(f"{package}-*/build.log").__next__().read_text("utf-8", "replace")[-2000:]
            )


# figures


class Figure(NamedTuple):
    """A figure of a package, one value for each side."""

    package: str
    title: str
    values: list[float]
    is_short: bool

    @property
    def deviation(self) -> float:
        """The largest distance from the first side, as a part of that."""
        first, *others = self.values
        return max((abs(other / first - 1) for other in others), default=0.0) if first else 0.0


def figures(package: str, runs: Sequence[Sequence[Telemetry]]) -> Iterator[Figure]:
    """Yield the figures of a package; `runs` has for each side the documents of all rounds."""

    def own(document: Telemetry) -> list[telemetry.Phase]:
        return [phase for phase in document.phases if phase.name not in {*SURROUNDING_PHASES, "stage"}]

    def cpu(document: Telemetry) -> float:
        return sum(phase.cpu_seconds or 0.0 for phase in own(document))

    def wall(document: Telemetry) -> float:
        return sum(phase.wall_seconds for phase in own(document))

    def around(document: Telemetry) -> float:
        return document.totals.cpu_seconds - cpu(document)

    def peak(document: Telemetry) -> float:
        return (document.totals.memory_anonymous_peak_bytes or 0) / _MIB

    is_short = min(min(map(cpu, side)) for side in runs) < _LONG_SECONDS
    for title, value in (
        ("CPU s of its phases", cpu),
        ("wall s of its phases", wall),
        ("anonymous peak MiB", peak),
        ("CPU s of Spack around them", around),
    ):
        yield Figure(package, title, [min(map(value, side)) for side in runs], is_short)


def judged(figure: Figure) -> str:
    """Return why a figure need not be within 5 %, or an empty text if it must be."""
    if figure.title.startswith("CPU s of Spack"):
        return "Spack's own work, which differs between versions and installers"
    if figure.title.startswith("wall"):
        return "wall time has the machine's other work in it"
    if "peak" in figure.title and max(figure.values) < _LARGE_MIB:
        return f"below {_LARGE_MIB} MiB, of which Spack's own processes are a large part"
    if figure.is_short:
        return f"less than {_LONG_SECONDS:g} s of CPU, mostly starts of processes"
    return ""


def page(plan: Plan, rows: Sequence[Figure], phases: Mapping[str, list[str]], *, at: str) -> str:
    """Return the result for people."""
    sides, rounds = plan.sides, plan.rounds
    head = " | ".join(side.title for side in sides)
    lines = []
    for figure in rows:
        values = " | ".join(f"{value:.2f}" for value in figure.values)
        beyond = f"{figure.deviation:.1%}" + (f": {judged(figure)}" if figure.deviation > ALLOWED else "")
        lines.append(f"| {figure.package} | {figure.title} | {values} | {beyond} |")
    table = "\n".join(f"| {title} | {code} | `{outcome}` |" for title, (_, code, outcome, _) in FAILURES.items())
    head_of_table = "| way to fail, the same on each | exit code | outcome |\n|---|---|---|\n"
    failures = f"{head_of_table}{table}" if plan.with_failures else "Ways to fail were not tried."
    built = "\n".join(f"- {package}: {', '.join(names)}" for package, names in phases.items())
    return f"""# `scripts/prove spack-versions`

{proof_page.today()}, commit {at}. Spack {OLDER[1:]} and {NEWER[1:]} (develop of 2026-01-16, the newest that could be had);
what only a released 1.2.x could show is not proven here.

Built, signed and published under {len(sides)} pairs of version and installer, with the same outcomes and phases:

{built}

Stock Spack of both versions installs each one's binaries, signatures checked, and refuses them without the trusted key.

{failures}

Figures, the least of {rounds} rounds in turn: what else the machine does can only add to them. At most 5 % from the first
column is demanded of the CPU of packages that use {_LONG_SECONDS:g} s or more, and of peaks of {_LARGE_MIB} MiB or more.
Where another figure is beyond it, the last column says why.

| package | figure | {head} | largest deviation |
|---|---|{"---:|" * len(sides)}---|
{chr(10).join(lines)}
"""


def build_in_turn(benches: Sequence[Bench], plan: Plan) -> dict[str, list[list[Telemetry]]]:
    """Build each package under each side, round by round; return the documents by package and side."""
    runs: dict[str, list[list[Telemetry]]] = {name: [[] for _ in benches] for name in plan.names}
    for number in range(plan.rounds):
        for name in plan.names:
            for bench, kept in zip(benches, runs[name], strict=True):
                kept.append(bench.build(name, number))
                print(f"round {number + 1}: {name} under {bench.side.title}", flush=True)
    return runs


def compare(runs: Mapping[str, list[list[Telemetry]]]) -> None:
    """Raise NotProvenError if a package ended otherwise, or had other phases, in one of its runs."""
    for name, per_side in runs.items():
        seen = [{(each.outcome, *(phase.name for phase in each.phases)) for each in kept} for kept in per_side]
        if len(set.union(*seen)) != 1:
            raise NotProvenError(f"{name}: outcomes and phases differ: {seen}")


def prove(folder: Path, plan: Plan, *, at: str) -> str:
    """Build, compare, install again, fail; return the page. Raises NotProvenError."""
    sources, key = mirror(source.package for source in SOURCES), Key(folder / "k")
    benches = [Bench(side, folder / str(number), sources, key) for number, side in enumerate(plan.sides)]
    runs = build_in_turn(benches, plan)
    compare(runs)
    for made in benches:
        for reader in {bench.side.version: bench for bench in benches}.values():
            install_again(made, reader, plan.names)
            print(f"binaries of {made.side.title} installed by stock Spack {reader.side.title}", flush=True)
    for bench in benches if plan.with_failures else ():
        fail(bench)
        print(f"each way to fail under {bench.side.title}", flush=True)
    rows = [figure for name in plan.names for figure in figures(name, runs[name])]
    phases = {name: [phase.name for phase in kept[0][0].phases] for name, kept in runs.items()}
    text = page(plan, rows, phases, at=at)
    wrong = [figure for figure in rows if figure.deviation > ALLOWED and not judged(figure)]
    if wrong and plan.rounds > 1:
        print(text)
        lines = [f"{each.package}, {each.title}: {each.deviation:.1%} from the first side's" for each in wrong]
        raise NotProvenError(f"{'; '.join(lines)}; is the machine quiet?")
    return text


def require(plan: Plan) -> None:
    """Raise SpackError or FetchError for what this machine lacks."""
    for side in plan.sides:
        _ = side.program
    if found := differences():
        raise FetchError("; ".join(found))


def main() -> int:
    """Prove, and write the page."""
    parser = argparse.ArgumentParser(prog="scripts/prove spack-versions", description="Build under each Spack.")
    parser.add_argument(
        "--small", action="store_true", help="bzip2, under the first and the last, one round, without the failures"
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="how often each package is built")
    parser.add_argument("--page", metavar="FILE", type=Path, default=PAGE, help="write the result to this file")
    parser.add_argument("--seed", help="taken and unused: nothing here is random")
    asked = parser.parse_args()
    at = proof_page.commit()
    try:
        plan = SMALL if asked.small else WHOLE._replace(rounds=asked.rounds)
        require(plan)
        with tempfile.TemporaryDirectory(prefix="spack-farm-proof-") as folder:
            text = prove(Path(folder), plan, at=at)
    except (SpackError, FetchError, pytest.skip.Exception) as error:
        print(f"scripts/prove: {error}", file=sys.stderr)
        return 2
    except NotProvenError as error:
        print(f"scripts/prove: {error}", file=sys.stderr)
        return 1
    asked.page.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
