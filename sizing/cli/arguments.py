"""The command line of `spack-farm sizing`: its parser, and where the history is. Loads nothing but the standard library."""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sizing.errors import BadRequest
from sizing.observations import PolicySettings
from sizing.quantities import MOST_BYTES, parse_quantity
from spelling.variables import likely_slips, unknown_variables

PREFIX = "SPACK_FARM_SIZING_"
HISTORY = f"{PREFIX}HISTORY"
POLICY = "min_waste"
"""The default: docs/decisions/0013-how-sizes-are-chosen.md."""
_MOST_MARGIN = 10_000
_MOST_WINDOW = 1_000_000
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
    quiet: bool
    list_aside: bool
    output: str | None
    config_map: str | None
    prior: str | None
    policy: str
    now: str | None
    most_memory: str | None
    least_memory: str | None
    margin: int | None
    window_days: int | None
    window_builds: int | None
    spec: str
    page: str | None
    table: str
    host: str
    port: int
    accept: bool
    format: int


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
    _fit(verbs)
    _show(verbs)
    _replay(verbs)
    _builds(verbs)
    _export(verbs)
    _serve(verbs)
    return new


def environment() -> Mapping[str, str]:
    """Return the variables that decide what a terminal shows."""
    return os.environ  # noqa: TID251  here it is read


def history(arguments: Arguments) -> str:
    """Return where the history is: the option, else the variable, else a file in the user's data folder.

    Raises BadRequest for a variable that is nearly that one: another history would be read than the one that is meant.
    """
    variables = environment()
    for name, offer in unknown_variables(variables, (HISTORY,), PREFIX):
        raise BadRequest(f"the variable {name} is unknown{offer}: correct or unset it")
    if arguments.history or variables.get(HISTORY):
        return arguments.history or variables[HISTORY]
    for slip in likely_slips(variables, (HISTORY,), mark="FARM"):
        sys.stderr.write(f"spack-farm sizing: {slip}\n")
    named = Path(variables.get("XDG_DATA_HOME", ""))
    home = Path(variables.get("HOME") or "/")
    return str((named if named.is_absolute() else home / ".local/share") / "spack-farm" / "history.sqlite")


def policy_settings(arguments: Arguments) -> PolicySettings:
    """Return the settings of policies that the options give. Raises BadRequest."""
    given = {
        "margin_percent": arguments.margin,
        "most_margin_percent": arguments.margin,
        "window_days": arguments.window_days,
        "window_count": arguments.window_builds,
        "cap_bytes": _bytes(arguments.most_memory, "--most-memory"),
        "floor_bytes": _bytes(arguments.least_memory, "--least-memory"),
    }
    if any(value is not None and value < 1 for value in given.values()) or (arguments.margin or 100) < 100:
        raise BadRequest(
            "--margin is at least 100 percent, --window-days, --window-builds, --most-memory and --least-memory at least 1"
        )
    if (arguments.margin or 0) > _MOST_MARGIN or max(
        arguments.window_days or 0, arguments.window_builds or 0
    ) > _MOST_WINDOW:
        raise BadRequest(
            f"--margin is at most {_MOST_MARGIN} percent, --window-days and --window-builds at most {_MOST_WINDOW:,}"
        )
    if (given["floor_bytes"] or 0) > (given["cap_bytes"] or MOST_BYTES):
        raise BadRequest(f"--least-memory {arguments.least_memory} is above --most-memory {arguments.most_memory}")
    return replace(PolicySettings(), **{name: value for name, value in given.items() if value is not None})


def _bytes(text: str | None, option: str) -> int | None:
    try:
        value = None if text is None else parse_quantity(text)
    except ValueError as error:
        raise BadRequest(f"{option} {error}") from error
    if value is not None and value > MOST_BYTES:
        raise BadRequest(f"{option} {text}: no machine has more than {MOST_BYTES >> 40} TiB")
    return value


def _verb(  # noqa: PLR0913 (what differs between verbs)
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    *,
    example: str,
    codes: str = "",
    reads_history: bool = True,
) -> argparse.ArgumentParser:
    """Add a verb, with the option that all have that read the history."""
    new = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}\n{_EXIT_CODES}{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if not reads_history:
        return new
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
    new.add_argument("-q", "--quiet", action="store_true", help="show errors and the line of each source only")
    new.add_argument("--again", action="store_true", help="read also days and documents that were read before")
    new.add_argument("--list-aside", action="store_true", help="print which documents were set aside, and why")
    new.add_argument("--endpoint-url", metavar="URL", help="the S3 server (default: boto3's, such as $AWS_ENDPOINT_URL)")


def _fit(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "fit",
        "compute the size table from the history",
        example="spack-farm sizing fit --output sizes.json --prior requests.csv --most-memory 240Gi",
        codes="  3 the table would drop a key, or change one by more than 4 x: nothing was written; see --accept\n",
    )
    place = new.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--output", metavar="PLACE", help="the table: a file or s3://BUCKET/KEY; compressed if it ends with .gz"
    )
    place.add_argument(
        "--config-map", metavar="NAMESPACE/NAME", help="the table: sizes.json.gz in a Kubernetes ConfigMap; at most 900 KiB"
    )
    new.add_argument(
        "--accept", action="store_true", help="write the table also if keys are dropped or change by more than 4 x"
    )
    new.add_argument(
        "--format", type=int, choices=(1, 2), default=2, help="1 for drivers that read nothing newer (default: 2)"
    )
    new.add_argument("--endpoint-url", metavar="URL", help="the S3 server (default: boto3's, such as $AWS_ENDPOINT_URL)")
    _sizes_options(new)


def _show(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs, "show", "say what a spec would get, and which builds say so", example="spack-farm sizing show hdf5@1.14.5+mpi"
    )
    new.add_argument("spec", metavar="SPEC", help="such as hdf5@1.14.5+mpi%%gcc@13.2.0 target=x86_64 jobs=8")
    new.add_argument("--page", metavar="FILE", help="write an HTML page with a picture, too")
    _sizes_options(new)


def _replay(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "replay",
        "say what each policy would have wasted on the builds of the history",
        example="spack-farm sizing replay --prior requests.csv --most-memory 240Gi",
    )
    _sizes_options(new, names_policy=False)


def _builds(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _verb(
        verbs,
        "builds",
        "print the last build of each spec as JSON",
        example="spack-farm sizing builds > builds.json",
    )


def _export(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "export",
        "print a size table as a scope of Spack's CI configuration",
        example="spack-farm sizing export sizes.json > scope/ci.yaml",
        reads_history=False,
    )
    new.add_argument("table", metavar="TABLE", help="a size table")


def _serve(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "serve",
        "answer Spack's dynamic mapping from a size table",
        example="spack-farm sizing serve sizes.json --port 8080",
        reads_history=False,
    )
    new.add_argument("table", metavar="TABLE", help="a size table; read anew when it changes")
    new.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    new.add_argument("--port", type=int, default=8080, help="the port; 0 takes a free one (default: 8080)")


def _sizes_options(new: argparse.ArgumentParser, *, names_policy: bool = True) -> None:
    """Add the options of verbs that compute sizes."""
    new.add_argument(
        "--prior", metavar="FILE", help="what was asked for by hand: CSV with match, cpu_request, memory_request"
    )
    if names_policy:
        new.add_argument("--policy", metavar="NAME", default=POLICY, help=f"how memory is computed (default: {POLICY})")
    new.add_argument("--most-memory", metavar="AMOUNT", help="of the largest node, such as 240Gi: no size is above it")
    new.add_argument("--least-memory", metavar="AMOUNT", help="no size is below it (default: 512M)")
    new.add_argument(
        "--margin", metavar="PERCENT", type=int,
        help="memory in percent of the largest peak; of min_waste the most (default: 125; of other policies 115)",
    )  # fmt: skip
    new.add_argument("--window-days", metavar="N", type=int, help="all builds of so many days count (default: 90)")
    new.add_argument("--window-builds", metavar="N", type=int, help="the newest builds of a key always count (default: 20)")
    new.add_argument("--now", metavar="TIME", help="compute the sizes of that time (default: now)")
