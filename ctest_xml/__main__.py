"""The command line: logs to documents, documents checked, documents sent.

The only module that prints and decides exit codes. Each verb imports what it needs when it runs, so `--help` and `check`
cost neither lxml nor requests.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ctest_xml import extra
from ctest_xml.errors import BadInput, CTestXmlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ctest_xml.submit import Report

_EPILOG = """\
examples:
  spack-farm ctest convert spack-build-out.txt --out cdash/ --build-name 'zlib %gcc@12' --group Nightly
  spack-farm ctest check cdash/*.xml
  spack-farm ctest submit cdash/ --url https://cdash.example.org --project Spack --token-file ~/.cdash-token

exit codes: 0 all well; 1 check found faults, or submit left documents in the folder; 2 bad input
"""
_PROGRESS_FROM_BYTES = 4_000_000
_PROGRESS_SECONDS = 5.0


class _Arguments(argparse.Namespace):
    """All options of all verbs, with their types."""

    verb: Literal["convert", "check", "submit"]
    logs: list[Path]
    rules: Literal["spack", "ctest"]
    limit: int
    out: Path
    site: str
    build_name: str
    group: str
    command: str
    files: list[Path]
    folder: Path
    url: str
    project: str
    token_file: Path | None
    ca_file: str
    again: bool
    dry_run: bool


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code. Errors become one line on stderr and the code 2."""
    arguments = parser().parse_args(argv, namespace=_Arguments())
    verbs: dict[str, Callable[[_Arguments], int]] = {"convert": _convert, "check": _check, "submit": _submit}
    try:
        return verbs[arguments.verb](arguments)
    except CTestXmlError as error:
        sys.stderr.write(f"spack-farm ctest {arguments.verb}: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        if not extra.advice(error):
            raise
        sys.stderr.write(f"spack-farm ctest {arguments.verb}: {extra.advice(error)}\n")
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is quiet
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="spack-farm ctest",
        description="Turn build logs into CTest XML and send it to CDash.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="convert|check|submit")
    convert = _verb(verbs, "convert", "write Build.xml, Notes.xml and Upload.xml of each log; print what was found")
    convert.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="a build log, plain or gzipped")
    convert.add_argument(
        "--rules", choices=["spack", "ctest"], default="spack", help="what counts as an error (default: spack)"
    )
    convert.add_argument("--limit", type=_limit, default=50, help="errors and warnings of each kind; 0: all (default: 50)")
    convert.add_argument(
        "--out", type=Path, default=Path(), help="folder to write to; with several logs one folder in it for each"
    )
    convert.add_argument(
        "--site", default=platform.node() or "site", help="site name, stable over runs (default: this host)"
    )
    convert.add_argument("--build-name", default="", help="build name, stable over runs (default: the log's name)")
    convert.add_argument("--group", default="Experimental", help="group of the project (default: Experimental)")
    convert.add_argument("--command", default="", help="the command that was run, for display")
    check = _verb(verbs, "check", "say what CDash would reject, cut or lose of each document")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    submit = _verb(verbs, "submit", "send a folder's documents, each once; what was not taken stays there")
    submit.add_argument("folder", type=Path, metavar="DIR", help="holds the documents of one build, or folders that do")
    submit.add_argument("--url", type=_address, required=True, help="address of CDash, such as https://cdash.example.org")
    submit.add_argument("--project", type=_project, required=True, help="CDash project")
    submit.add_argument("--token-file", type=Path, default=None, help="file with a submit token")
    submit.add_argument("--ca-file", default="", help="certificates to trust instead of the system's")
    submit.add_argument("--again", action="store_true", help="send also what was refused or may already have been taken")
    submit.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    return parser


def _verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name, help=words, description=f"{words}.", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a CDash; give https://…")
    return text


def _project(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; give the project's name on CDash")
    return text


def _convert(arguments: _Arguments) -> int:
    from ctest_xml.convert import Conversion, convert  # noqa: PLC0415  lazy, see above
    from ctest_xml.model import Site  # noqa: PLC0415
    from ctest_xml.naming import build_stamp  # noqa: PLC0415

    names = [log.name.removesuffix(".gz") for log in arguments.logs]
    if len(set(names)) != len(names):
        raise BadInput("two of the logs have the same name, so their folders would be one; convert them one by one")
    how = Conversion(rules=arguments.rules, limit=arguments.limit, command=arguments.command)
    for log, name in zip(arguments.logs, names, strict=True):
        if not log.is_file():
            raise BadInput(f"{log} is no file; give the path of a build log")
        stamp = build_stamp(start_seconds=log.stat().st_mtime, group=arguments.group)
        site = Site(name=arguments.site, build_name=arguments.build_name or name, build_stamp=stamp)
        out = arguments.out / name if len(names) > 1 else arguments.out
        counts = convert(log, out, site=site, how=how)
        sys.stdout.write(f"{log}: {_kind(counts.errors, counts.errors_left_out, 'error')}, ")
        sys.stdout.write(f"{_kind(counts.warnings, counts.warnings_left_out, 'warning')} -> {out / 'Build.xml'}\n")
    return 0


def _kind(written: int, left_out: int, word: str) -> str:
    rest = f" (the first {written}; --limit 0 takes all)" if left_out else ""
    return f"{written + left_out} {word}{'' if written + left_out == 1 else 's'}{rest}"


def _check(arguments: _Arguments) -> int:
    from ctest_xml.check import check  # noqa: PLC0415  lazy, see above

    found = False
    for file in arguments.files:
        try:
            faults = check(file)
        except OSError as error:
            raise BadInput(f"{file}: {error.strerror}; give the path of a document") from error
        found = found or bool(faults)
        sys.stdout.writelines(f"{file}: {fault}\n" for fault in faults)
        if not faults:
            sys.stdout.write(f"{file}: good\n")
    return int(found)


def _submit(arguments: _Arguments) -> int:
    from ctest_xml import spool  # noqa: PLC0415  lazy, see above
    from ctest_xml.cdash import Server  # noqa: PLC0415
    from ctest_xml.submit import submit  # noqa: PLC0415

    token = _token(arguments.token_file)
    complete = True
    for folder in spool.folders(arguments.folder):
        if arguments.dry_run:
            states = ", ".join(f"{name} ({state})" for name, state in spool.documents(folder).items())
            sys.stdout.write(f"{folder} -> {arguments.url} project {arguments.project}: {states}\n")
            continue
        server = Server(url=arguments.url, project=arguments.project, token=token, ca_file=arguments.ca_file)
        report = submit(folder, server=server, again=arguments.again, progress=_progress())
        complete = _tell(report) and complete
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


def _tell(report: "Report") -> bool:
    """Print what became of a folder; tell whether CDash has all of it."""
    for outcome in report.outcomes:
        sys.stdout.write(
            f"{report.folder / outcome.name}: {outcome.verdict.value}{': ' if outcome.reason else ''}{outcome.reason}\n"
        )
    for name, state in report.left.items():
        sys.stdout.write(f"{report.folder / name}: stays, {_ADVICE[state]}\n")
    if report.link:
        sys.stdout.write(f"build: {report.link}\n")
    return not report.left


_ADVICE = {
    "ready": "not sent: run this again",
    "sending": "another sender has it",
    "refused": "refused: mend it, then --again",
    "unknown": "it may have been taken: look at the build, then --again if it is not there",
    "sent": "sent",
}


def _progress() -> "Callable[[str, int, int], None]":
    """Return a teller of long uploads: a line every five seconds, and nothing for files that go out at once."""
    last = time.monotonic()

    def tell(name: str, sent: int, size: int) -> None:
        nonlocal last
        now = time.monotonic()
        if size >= _PROGRESS_FROM_BYTES and now - last >= _PROGRESS_SECONDS:
            last = now
            sys.stderr.write(f"{name}: {sent / 1e6:.0f} of {size / 1e6:.0f} MB sent\n")

    return tell


if __name__ == "__main__":
    sys.exit(main())
