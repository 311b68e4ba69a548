"""Builds a run again in the image of its job, with a container engine of this machine: podman, docker or nerdctl.

What the build needs goes in, and what it leaves comes out, as archives through the engine's own pipes: no folder of this
machine is in the container, and no file here belongs to another user afterwards. What comes out is bounded, and only plain
files of it are kept. Source: docker-run(1), podman-run(1).
"""

import contextlib
import errno
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from buildjob.errors import FetchError, Interrupted, RequestError, SpackError
from buildjob.process.child import StopRequest
from buildjob.run_folder import REPRODUCE, SPEC, TELEMETRY, first_free
from buildjob.telemetry import Telemetry

KNOWN = ("podman", "docker", "nerdctl")
"""In the order in which they are looked for."""
NONE = "none"
_ANSWER_SECONDS = 20.0
_LARGEST_BYTES = 2 << 30
_MOST_FILES = 5000
# a name in a registry, or a digest that only this machine's storage can know; never an option
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,1000}")
_NO_PLACE = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
"""What writing a file ends with whose name no file can have, or that another one of the archive has taken."""
_ENGINE_FAILED, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127
# The first process of a container gets no signal that it has no handler for. Standard output is the archive.
_SCRIPT = """
agent=
trap 'test -z "$agent" || kill -TERM "$agent" 2>/dev/null' TERM INT HUP
command -v spack-farm >/dev/null || exit 127
folder=$(mktemp -d) && cd "$folder" && tar -xf - || exit 126
spack-farm "$@" --out "$folder/out" </dev/null >&2 & agent=$!
code=0
while :; do
  wait "$agent"; code=$?
  kill -0 "$agent" 2>/dev/null || break
done
test ! -d out || tar -cf - -C out .
exit "$code"
"""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a job ran in."""

    reference: str
    """What an engine takes."""
    is_exact: bool
    """It has a digest: it is the very image that the job ran in."""


def image_of(document: Telemetry) -> Image | None:
    """Return the image that a run was built in; None if the document names none that an engine could get."""
    digest = document.reproduce.image_digest
    name = document.job.image if isinstance(document.job, msgspec.Struct) else ""
    for reference, is_exact in ((digest if "@" in digest else "", True), (name, "@" in name)):
        if reference and _REFERENCE.fullmatch(reference):
            return Image(reference=reference, is_exact=is_exact)
    return None


def find_engine(asked: str, variables: Mapping[str, str]) -> str:
    """Return the program of the engine that was asked for, or of the first that answers; empty if there is none.

    Raises RequestError if the one that was asked for is not there or does not answer.
    """
    if asked == NONE:
        return ""
    for name in [asked] if asked else KNOWN:
        program = shutil.which(name, path=variables.get("PATH"))
        fault = _fault(program, variables) if program else "it is not on PATH"
        if program and not fault:
            return program
        if asked:
            raise RequestError(f"--engine {asked}: {fault}; give {', '.join(KNOWN)}, or {NONE} to build with the Spack here")
    return ""


def _fault(program: str, variables: Mapping[str, str]) -> str:
    """Return why an engine does not answer: the program may be there without its server."""
    try:
        done = subprocess.run(
            [program, "info"], stdin=subprocess.DEVNULL, capture_output=True, env=dict(variables),
            timeout=_ANSWER_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not answer: {error}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"'info' ended with {done.returncode}"]
    return f"it does not answer: {lines[-1]}" if done.returncode else ""


def argv(engine: str, image: Image, variables: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return the engine's command line that runs `spack-farm` with these arguments in the image."""
    given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    shell = ["--entrypoint", "/bin/sh", image.reference, "-c", _SCRIPT, "sh"]
    return [engine, "run", "--rm", "--interactive", *given, *shell, *arguments]


def build(command: Sequence[str], run_folder: Path, out: Path, *, environment: Mapping[str, str]) -> tuple[int, list[Path]]:
    """Run such a command line on a run's spec and configuration; return its exit code and the run folders that it left.

    The output of the build passes to standard error. Raises FetchError if the engine could not run the image, SpackError if
    the image has no spack-farm.
    """
    engine, image = command[0], command[command.index("-c") - 1]
    folders: list[Path] = []
    with StopRequest() as stop:
        process = subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment))
        assert process.stdin
        assert process.stdout
        with _passing_on(stop, process):
            _send(process.stdin, run_folder)
            # what came before something went wrong is kept: the run folder of a build that was stopped, too
            with contextlib.suppress(tarfile.ReadError):
                folders = _received(process.stdout, out)
            process.stdout.close()
            code = process.wait()
        if stop.signal_number:
            raise Interrupted(stop.signal_number)
    if code == _ENGINE_FAILED:
        raise FetchError(f"{engine} could not run {image}, its reason is above; --engine {NONE} builds with the Spack here")
    if code in {_NOT_EXECUTABLE, _NOT_FOUND}:
        raise SpackError(
            f"{image} can't build it: it needs sh, tar and spack-farm; --engine {NONE} builds with the Spack here"
        )
    return code, folders


@contextlib.contextmanager
def _passing_on(stop: StopRequest, process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Send TERM to a process as soon as this one is asked to stop."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            if stop.signal_number:
                process.terminate()
                return

    side = threading.Thread(target=watch, daemon=True)
    side.start()
    try:
        yield
    finally:
        ended.set()
        side.join()


def _send(pipe: IO[bytes], run_folder: Path) -> None:
    with contextlib.suppress(BrokenPipeError):  # the engine has ended; its exit code says why
        with tarfile.open(fileobj=pipe, mode="w|") as archive:
            for name in (SPEC, REPRODUCE):
                if (run_folder / name).exists():
                    archive.add(run_folder / name, name, filter=_as_anybody)
        pipe.close()


def _as_anybody(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Keep folders and plain files, readable for the image's user."""
    if not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _received(pipe: IO[bytes], out: Path) -> list[Path]:
    """Write the run folders of an archive below `out`, each under a name that is free there; return them."""
    folders: dict[str, Path] = {}
    left, files = _LARGEST_BYTES, _MOST_FILES
    with tarfile.open(fileobj=pipe, mode="r|") as archive:
        for member in archive:
            parts = PurePosixPath(member.name).parts
            if not member.isfile() or len(parts) < 2 or ".." in parts or parts[0] == "/" or "\0" in member.name:
                continue
            left, files = left - member.size, files - 1
            if left < 0 or files < 0:
                break
            source = archive.extractfile(member)
            if source is None:
                continue
            if parts[0] not in folders:
                out.mkdir(parents=True, exist_ok=True)
                folders[parts[0]] = first_free(out, parts[0])
            target = folders[parts[0]].joinpath(*parts[1:])
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(source, file)
            except OSError as error:
                if error.errno not in _NO_PLACE:
                    raise
    return [folder for folder in folders.values() if (folder / TELEMETRY).is_file()]
