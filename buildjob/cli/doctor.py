"""`spack-farm doctor`: looks at everything that a build here will need, and says what to mend.

Each look is a small function that returns findings; nothing is changed and nothing is built.
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
from buildjob.measure.observer import find_cgroup
from buildjob.options import environment
from buildjob.paths import from_environment
from buildjob.spack.adapter import Spack
from buildjob.spack.find import SpackInstallation, find

_ROOM_BYTES = 5 << 30
_TIMEOUT_SECONDS = 60


class Finding(msgspec.Struct, frozen=True):
    """What one look found."""

    is_good: bool
    text: str
    mend: str = ""
    """What to do; empty if nothing is to be done."""


def parser(prog: str = "spack-farm doctor") -> argparse.ArgumentParser:
    """Return the parser of the verb."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Look at what a build here will need, and say what to mend.",
        epilog="""\
example:
  spack-farm doctor --mirror ./mirror

exit codes:
  0 all is well
  1 something is to be mended
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    new.add_argument("--spack", metavar="FOLDER", help="the Spack to look at")
    new.add_argument("--mirror", metavar="FOLDER", help="the build cache that will be published to")
    new.add_argument("--out", metavar="FOLDER", default="spack-farm-out", help="where runs will be written")
    return new


def main(argv: Sequence[str] | None = None) -> int:
    """Print the findings; return 1 if something is to be mended."""
    arguments = parser().parse_args(argv)
    log = Log()
    sick = False
    for finding in look(arguments):
        log.plain(
            f"{'ok   ' if finding.is_good else 'MEND '} {finding.text}" + (f"\n      {finding.mend}" if finding.mend else "")
        )
        sick = sick or not finding.is_good
    return int(sick)


def look(arguments: argparse.Namespace) -> Iterator[Finding]:
    """Yield everything there is to know."""
    yield from _spack(arguments.spack or "")
    yield _program("gcc", "--version", "install a C compiler; on Debian: apt-get install gcc")
    yield _program("gpg", "--version", "signatures need GnuPG; on Debian: apt-get install gnupg")
    yield _disk(Path(arguments.out))
    if arguments.mirror:
        yield _mirror(arguments.mirror)
    yield _cgroup()


def _spack(named: str) -> Iterator[Finding]:
    variables = environment()
    try:
        installation = find(named, variables, from_environment(variables))
        spack = Spack(installation, call=_call)
        spack.require_supported()
        yield Finding(True, f"Spack {spack.version(variables)} at {installation.root}, found by {installation.found}")
    except AgentError as error:
        yield Finding(False, str(error))
        return
    yield _concretizer(installation, spack, variables)


def _concretizer(installation: SpackInstallation, spack: Spack, variables: dict[str, str]) -> Finding:
    code, said = _call(spack.argv("python", "-c", "import clingo"), spack.environment(variables))
    if code == 0:
        return Finding(True, "Spack can concretize: clingo is there")
    return Finding(
        False,
        f"Spack at {installation.root} can't import clingo: {said.decode('utf-8', 'replace').strip()[-200:]}",
        "run 'spack bootstrap now', or use the Spack of scripts/get-spack",
    )


def _call(argv: list[str], variables: object) -> tuple[int, bytes]:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=variables, timeout=_TIMEOUT_SECONDS, check=False,  # type: ignore[call-overload]
    )  # fmt: skip
    return done.returncode, done.stdout


def _program(name: str, question: str, mend: str) -> Finding:
    path = shutil.which(name)
    if not path:
        return Finding(False, f"{name} is not on PATH", mend)
    said = subprocess.run([path, question], capture_output=True, text=True, check=False).stdout
    return Finding(True, f"{path}: {said.splitlines()[0] if said else 'it says nothing'}")


def _disk(out: Path) -> Finding:
    standing = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.exists())
    free = shutil.disk_usage(standing).free
    text = f"{free / (1 << 30):.1f} GiB free below {standing}"
    if not os.access(standing, os.W_OK):
        return Finding(False, f"{standing} can't be written", "choose another --out")
    if free < _ROOM_BYTES:
        return Finding(
            False, text, f"large packages need more than {_ROOM_BYTES >> 30} GiB: make room, or choose another --out"
        )
    return Finding(True, text)


def _mirror(text: str) -> Finding:
    try:
        words = ["x", "--mirror", text, "--unsigned"]
        asked = request.parse(build.parser().parse_args(words), {})
    except RequestError as error:
        return Finding(False, str(error))
    assert asked.target
    if asked.target.folder is None:
        return Finding(True, f"mirror {asked.target.url}: not looked at; spack-farm publish ls does")
    layout = asked.target.folder / "v3" / "layout.json"
    state = "a build cache of layout 3" if layout.exists() else "no build cache yet; it will be made"
    return Finding(True, f"mirror {asked.target.folder}: {state}")


def _cgroup() -> Finding:
    cgroup = find_cgroup()
    if cgroup is None:
        return Finding(
            True,
            "no control group of its own can be had here: memory figures will be estimates, memory kills can't be told",
            "run in a container, or as root on cgroup v1, to have the kernel's own counters",
        )
    with cgroup:
        return Finding(True, f"the kernel counts for us: cgroup {cgroup.version} ({cgroup.kind.value})")
