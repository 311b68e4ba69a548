"""`submit`: sends the documents of each folder and prints what became of each."""

import sys
from pathlib import Path

from ctest_xml import spool
from ctest_xml.answers import Delivery
from ctest_xml.arguments import Arguments, environment, line_for
from ctest_xml.cdash import Server
from ctest_xml.errors import BadInput
from ctest_xml.spool import DONE
from ctest_xml.submit import Listener, Report, submit, to_send
from status_line.progress import Progress
from status_line.screen import screen_for
from status_line.text import counted

_ADVICE: dict[spool.State, str] = {
    "ready": "not sent; run this again",
    "sending": "another sender has it",
    "refused": "refused; fix it, then run this with --again",
    "unknown": "CDash may have it; look at the build, then run this with --again if it is not there",
}


def run(arguments: Arguments) -> int:
    """Send the folders' documents; return 1 if CDash may lack one of them. Raises BadInput."""
    token = _token(arguments.token_file)
    folders = spool.folders(arguments.folder)
    if arguments.dry_run:
        for folder in folders:
            states = ", ".join(f"{name} ({state})" for name, state in spool.documents(folder).items())
            sys.stdout.write(f"{folder} -> {arguments.url} project {arguments.project}: {states}\n")
        return 0
    server = Server(url=arguments.url, project=arguments.project, token=token, ca_file=arguments.ca_file or "")
    screen = screen_for(sys.stderr, environment(), quiet=arguments.quiet)
    for folder in folders:
        spool.mark_abandoned(folder)  # what a sender had that died counts, too
    total = sum(len(to_send(folder, again=arguments.again)) for folder in folders)
    complete, sent = True, 0
    with Progress(
        "sending", unit=("document", "documents"), screen=screen, say=line_for("submit", quiet=arguments.quiet), total=total
    ) as progress:
        progress.begin()
        for folder in folders:
            report = submit(folder, server=server, again=arguments.again, listener=_counting(progress))
            with screen.cleared():
                _print(report, quiet=arguments.quiet)
            complete = complete and not report.left
            sent += sum(each.name != DONE and each.delivery is Delivery.SENT for each in report.results)
    if total:
        sys.stdout.write(f"{_totals(progress, sent)}\n")
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


def _print(report: Report, *, quiet: bool) -> None:
    for result in report.results:
        if quiet and result.delivery is Delivery.SENT:
            continue
        reason = f": {result.reason}" if result.reason else ""
        sys.stdout.write(f"{report.folder / result.name}: {result.delivery.value}{reason}\n")
    for name, state in report.left.items():
        sys.stdout.write(f"{report.folder / name} stays in the folder: {_ADVICE[state]}\n")
    if report.link and not quiet:
        sys.stdout.write(f"build: {report.link}\n")


def _counting(progress: Progress) -> Listener:
    """Return what counts documents, bytes and retries."""
    last: tuple[str, int] = ("", 0)

    def sent(name: str, so_far: int, _size: int) -> None:
        nonlocal last
        before = last[1] if last[0] == name and last[1] <= so_far else 0  # 0: another document, or the same one again
        progress.bytes += so_far - before
        last = name, so_far

    return Listener(sent=sent, retried=progress.retried, settled=lambda _name: progress.add())


def _totals(progress: Progress, sent: int) -> str:
    return ", ".join([f"{sent:,} of {counted(progress.total or 0, 'document', 'documents')} sent", *progress.facts()])
