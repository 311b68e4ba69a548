"""The command line: its verbs, their options, and the types that options are read into. Loads no verb."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from ctest_xml.limits import EVENTS

_EPILOG = """\
examples:
  spack-farm ctest convert spack-build-out.txt --out cdash/ --build-name 'zlib %gcc@12' --group Nightly
  spack-farm ctest check cdash/*.xml
  spack-farm ctest submit cdash/ --url https://cdash.example.org --project Spack --token-file ~/.cdash-token

exit codes: 0 success; 1 check found faults, or submit left documents in the folder; 2 bad input
"""


class Arguments(argparse.Namespace):
    """All options of all verbs, with their types."""

    verb: Literal["convert", "check", "submit"]
    logs: list[Path]
    rules: Literal["spack", "ctest"]
    limit: int
    out: Path
    site: str
    build_name: str | None
    group: str
    command: str | None
    files: list[Path]
    folder: Path
    url: str
    project: str
    token_file: Path | None
    ca_file: str | None
    again: bool
    quiet: bool
    dry_run: bool


def environment() -> Mapping[str, str]:
    """Return the variables that decide what a terminal shows."""
    return os.environ  # noqa: TID251  here it is read


def line_for(verb: str, *, quiet: bool = False) -> Callable[[str], None]:
    """Return what writes a line for people to standard error; nothing with `quiet`."""

    def say(text: str) -> None:
        if not quiet:
            sys.stderr.write(f"spack-farm ctest {verb}: {text}\n")
            sys.stderr.flush()

    return say


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
    convert.add_argument(
        "logs",
        nargs="+",
        type=_path,
        metavar="LOG",
        help="a build log, plain or packed by gzip, xz or bzip2; -: standard input",
    )
    convert.add_argument(
        "--rules", choices=["spack", "ctest"], default="spack", help="what counts as an error (default: spack)"
    )
    convert.add_argument(
        "--limit", type=_limit, default=EVENTS, help=f"errors and warnings of each kind; 0: all (default: {EVENTS})"
    )
    convert.add_argument(
        "--out",
        type=_path,
        default=Path("cdash"),
        help="folder to write to, made if missing; with several logs, one folder in it for each (default: cdash)",
    )
    convert.add_argument(
        "--site", type=_text, default=platform.node() or "site", help="site name, stable over runs (default: this host)"
    )
    convert.add_argument(
        "--build-name", type=_text, default=None, help="build name, stable over runs (default: the log's name)"
    )
    convert.add_argument("--group", type=_text, default="Experimental", help="group of the project (default: Experimental)")
    convert.add_argument("--command", type=_text, default=None, help="the command that was run, for display")
    check = _verb(verbs, "check", "print what CDash would reject, cut or lose of each document")
    check.add_argument("files", nargs="+", type=_path, metavar="FILE")
    submit = _verb(verbs, "submit", "send a folder's documents, each once; what CDash did not take stays there")
    submit.add_argument("folder", type=_path, metavar="DIR", help="holds the documents of one build, or folders that do")
    submit.add_argument("--url", type=_address, required=True, help="address of CDash, such as https://cdash.example.org")
    submit.add_argument("--project", type=_project, required=True, help="CDash project")
    submit.add_argument("--token-file", type=_path, default=None, help="file with a submit token")
    submit.add_argument("--ca-file", type=_text, default=None, help="certificates to trust instead of the system's")
    submit.add_argument("--again", action="store_true", help="also send what was refused or may already have been taken")
    submit.add_argument("-q", "--quiet", action="store_true", help="print only what is left in the folder, and the totals")
    submit.add_argument("--dry-run", action="store_true", help="only print what would be sent")
    return parser


def _verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name, help=purpose, description=f"{purpose}.", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a CDash; give https://…")
    return text


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the value is empty; give one, or omit the option")
    return text


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def _project(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; give the project's name on CDash")
    return text
