"""The command line of `spack-farm sizing`: its parser, and where the history is. Loads nothing but the standard library."""

import argparse
import os
from pathlib import Path

HISTORY = "SPACK_FARM_SIZING_HISTORY"
_EXIT_CODES = """
exit codes:
  0 done
  1 a source or the history can't be read or written; what was done so far is kept
  2 bad request
"""


class Arguments(argparse.Namespace):
    """What was given; each verb has some of them."""

    verb: str
    history: str
    source: list[str]
    trusted: bool | None
    endpoint_url: str | None
    again: bool
    list_aside: bool


def parser(prog: str = "spack-farm sizing") -> argparse.ArgumentParser:
    """Return the parser."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Compute what builds ask for from what earlier builds used.",
        epilog="example:\n  spack-farm sizing ingest s3://bucket/mirror\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    _ingest(verbs)
    return new


def history(arguments: Arguments) -> str:
    """Return where the history is: the option, else the variable, else a file in the user's data folder."""
    variables = os.environ  # noqa: TID251  here it is read
    if arguments.history or variables.get(HISTORY):
        return arguments.history or variables[HISTORY]
    named = Path(variables.get("XDG_DATA_HOME", ""))
    home = Path(variables.get("HOME") or "/")
    return str((named if named.is_absolute() else home / ".local/share") / "spack-farm" / "history.sqlite")


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, *, example: str, codes: str = ""
) -> argparse.ArgumentParser:
    """Add a verb with the options that all verbs have."""
    new = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}\n{_EXIT_CODES}{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    new.add_argument(
        "--history",
        metavar="PLACE",
        default="",
        help=f"a file (SQLite), or postgresql://HOST/NAME (default: ${HISTORY}, else a file in the user's data folder)",
    )
    return new


def _ingest(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs, "ingest", "read telemetry of builds into the history", example="spack-farm sizing ingest s3://bucket/mirror"
    )
    new.add_argument(
        "source",
        nargs="*",
        metavar="SOURCE",
        help="a build cache (folder or s3://BUCKET/PREFIX), whose telemetry/v1/protected/ is read; one of its places, such"
        " as …/telemetry/v1/other/; any folder with documents; one document",
    )
    trust = new.add_mutually_exclusive_group()
    trust.add_argument(
        "--trusted", action="store_true", default=None,
        help="only protected jobs can write to these sources: sizes may be computed from them (default: from protected/)",
    )  # fmt: skip
    trust.add_argument(
        "--untrusted", action="store_false", dest="trusted", help="keep these builds for `show` alone"
    )  # fmt: skip
    new.add_argument("--again", action="store_true", help="read also days and documents that were read before")
    new.add_argument("--list-aside", action="store_true", help="print which documents were set aside, and why")
    new.add_argument("--endpoint-url", metavar="URL", help="the S3 server (default: boto3's, such as $AWS_ENDPOINT_URL)")
