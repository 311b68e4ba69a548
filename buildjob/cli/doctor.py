"""`spack-farm doctor`: checks everything that a build here needs, and says how to fix what is missing.

Each check is a small function that returns its result; nothing is changed and nothing is built.
"""

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob.agent import request
from buildjob.cli import build
from buildjob.errors import AgentError, RequestError
from buildjob.log import Log
from buildjob.measure.cgroup import find_cgroup
from buildjob.options import environment
from buildjob.paths import from_environment
from buildjob.spack.adapter import Spack
from buildjob.spack.find import SpackInstallation, find

_ROOM_BYTES = 5 << 30
_TIMEOUT_SECONDS = 60


class Check(msgspec.Struct, frozen=True):
    """The result of one check."""

    is_good: bool
    text: str
    advice: str = ""
    """What to do; empty if nothing is to be done."""


def parser(prog: str = "spack-farm doctor") -> argparse.ArgumentParser:
    """Return the parser of the verb."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Check what a build here needs, and say how to fix what is missing.",
        epilog="""\
example:
  spack-farm doctor --mirror ./mirror

exit codes:
  0 a build can start here
  1 something must be fixed first
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    new.add_argument("--spack", metavar="FOLDER", help="the Spack to check")
    new.add_argument("--mirror", metavar="FOLDER", help="the build cache that builds will publish to")
    new.add_argument("--out", metavar="FOLDER", default="spack-farm-out", help="where the run folders will be made")
    return new


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result of each check; return 1 if something must be fixed."""
    arguments = parser().parse_args(argv)
    log = Log()
    is_good = True
    for check in checks(arguments):
        advice = f"\n      {check.advice}" if check.advice else ""
        log.plain(f"{'ok   ' if check.is_good else 'FIX  '} {check.text}{advice}")
        is_good = is_good and check.is_good
    return int(not is_good)


def checks(arguments: argparse.Namespace) -> Iterator[Check]:
    """Yield the result of each check."""
    yield from _spack(arguments.spack or "")
    yield _program("gcc", "--version", "install a C compiler; on Debian: apt-get install gcc")
    yield _program("gpg", "--version", "signatures need GnuPG; on Debian: apt-get install gnupg")
    yield _disk(Path(arguments.out))
    if arguments.mirror:
        yield _mirror(arguments.mirror)
    yield _cgroup()


def _spack(named: str) -> Iterator[Check]:
    variables = environment()
    try:
        installation = find(named, variables, from_environment(variables))
        spack = Spack(installation, call=_call)
        spack.require_supported()
        yield Check(True, f"Spack {spack.version(variables)} at {installation.root}, found in {installation.found}")
    except AgentError as error:
        yield Check(False, str(error))
        return
    yield _concretizer(installation, spack, variables)


def _concretizer(installation: SpackInstallation, spack: Spack, variables: dict[str, str]) -> Check:
    code, printed = _call(spack.argv("python", "-c", "import clingo"), spack.environment(variables))
    if code == 0:
        return Check(True, "Spack can concretize: it imports clingo")
    return Check(
        False,
        f"Spack at {installation.root} can't import clingo: {printed.decode('utf-8', 'replace').strip()[-200:]}",
        "run 'spack bootstrap now', or use the Spack of scripts/get-spack",
    )


def _call(argv: list[str], variables: object) -> tuple[int, bytes]:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=variables, timeout=_TIMEOUT_SECONDS, check=False,  # type: ignore[call-overload]
    )  # fmt: skip
    return done.returncode, done.stdout


def _program(name: str, option: str, advice: str) -> Check:
    path = shutil.which(name)
    if not path:
        return Check(False, f"{name} is not on PATH", advice)
    printed = subprocess.run([path, option], capture_output=True, text=True, check=False).stdout
    return Check(True, f"{path}: {printed.splitlines()[0] if printed else 'it prints nothing'}")


def _disk(out: Path) -> Check:
    existing = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / (1 << 30):.1f} GiB free below {existing}"
    if not os.access(existing, os.W_OK):
        return Check(False, f"this user can't write to {existing}", "choose another --out")
    if free < _ROOM_BYTES:
        return Check(
            False, text, f"large packages need more than {_ROOM_BYTES >> 30} GiB: make room, or choose another --out"
        )
    return Check(True, text)


def _mirror(text: str) -> Check:
    try:
        argv = ["x", "--mirror", text, "--unsigned"]
        asked = request.parse(build.parser().parse_args(argv), {})
    except RequestError as error:
        return Check(False, str(error))
    assert asked.target
    if asked.target.folder is None:
        return Check(True, f"mirror {asked.target.url}: not checked here; spack-farm publish ls reads it")
    layout = asked.target.folder / "v3" / "layout.json"
    state = "a build cache of layout 3" if layout.exists() else "not a build cache yet; the first build makes one"
    return Check(True, f"mirror {asked.target.folder}: {state}")


def _cgroup() -> Check:
    cgroup = find_cgroup()
    if cgroup is None:
        return Check(
            True,
            "builds have no cgroup of their own here: memory figures will be estimates, memory kills will not be seen",
            "run in a container, or as root on cgroup v1, for the kernel's own counters",
        )
    with cgroup:
        return Check(True, f"builds are measured by the kernel: cgroup {cgroup.version} ({cgroup.kind.value})")
