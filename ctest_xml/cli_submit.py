"""`submit`: sends the documents of each folder and prints what became of each."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from ctest_xml import spool
from ctest_xml.arguments import Arguments
from ctest_xml.cdash import Server
from ctest_xml.errors import BadInput
from ctest_xml.submit import Report, submit

_PROGRESS_FROM_BYTES = 4_000_000
_PROGRESS_SECONDS = 5.0
_ADVICE: dict[spool.State, str] = {
    "ready": "not sent; run this again",
    "sending": "another sender has it",
    "refused": "refused; fix it, then run this with --again",
    "unknown": "CDash may have it; look at the build, then run this with --again if it is not there",
}


def run(arguments: Arguments) -> int:
    """Send the folders' documents; return 1 if CDash may lack one of them. Raises BadInput."""
    token = _token(arguments.token_file)
    complete = True
    for folder in spool.folders(arguments.folder):
        if arguments.dry_run:
            states = ", ".join(f"{name} ({state})" for name, state in spool.documents(folder).items())
            sys.stdout.write(f"{folder} -> {arguments.url} project {arguments.project}: {states}\n")
            continue
        server = Server(url=arguments.url, project=arguments.project, token=token, ca_file=arguments.ca_file or "")
        report = submit(folder, server=server, again=arguments.again, progress=_progress())
        _print(report)
        complete = complete and not report.left
    return 0 if complete else 1


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the token file {path} cannot be read ({error}); give a file that holds one line") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadInput(f"the token file {path} does not hold one token; give a file that holds one line")
    return token


def _print(report: Report) -> None:
    for result in report.results:
        reason = f": {result.reason}" if result.reason else ""
        sys.stdout.write(f"{report.folder / result.name}: {result.delivery.value}{reason}\n")
    for name, state in report.left.items():
        sys.stdout.write(f"{report.folder / name} stays in the folder: {_ADVICE[state]}\n")
    if report.link:
        sys.stdout.write(f"build: {report.link}\n")


def _progress() -> Callable[[str, int, int], None]:
    """Return a function that logs the progress of large documents, at most once in five seconds."""
    last = time.monotonic()

    def log(name: str, sent: int, size: int) -> None:
        nonlocal last
        now = time.monotonic()
        if size >= _PROGRESS_FROM_BYTES and now - last >= _PROGRESS_SECONDS:
            last = now
            sys.stderr.write(f"{name}: {sent / 1e6:.0f} of {size / 1e6:.0f} MB sent\n")

    return log
