"""`spack-farm report`: pages of many builds, from a folder or from uploaded telemetry.

Its own way out, as all verbs: an error becomes a line and an exit code. Options of S3 may come from `SPACK_FARM_PUBLISH_…`.
The work is `report_index`'s, which --help need not load.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from buildjob import extra, options
from buildjob.cli import publish_options
from buildjob.errors import AgentError, StoreError
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES, Outcome

_EPILOG = """\
examples:
  spack-farm report index spack-farm-out
  spack-farm report index s3://binaries/main/telemetry --output builds.html
  spack-farm report index artifacts/ --graph job-graph.json --pipeline "$CI_PIPELINE_ID"

exit codes:
  0 the page is written; documents that can't be read are a line each, on the page and here
  2 bad request; also: there is no telemetry at PLACE
  4 S3 does not answer, or denies access
  5 no room for the page
 70 a bug in spack-farm

Options of S3 may be given as variables too: SPACK_FARM_PUBLISH_ENDPOINT_URL, …; an option wins.
"""


def parser(prog: str = "spack-farm report") -> argparse.ArgumentParser:
    """Return the parser."""
    form = argparse.RawDescriptionHelpFormatter
    new = argparse.ArgumentParser(
        prog=prog,
        description="Write pages about many builds.",
        epilog=_EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", required=True, metavar="index")
    index = verbs.add_parser(
        "index",
        help="write one page of many builds, and print what failed and where the time went",
        description=(
            "Write one page of many builds: which failed and why, what changed since earlier ones, where a pipeline's time "
            "went, and a table with links to each build's page, job, commit and CDash."
        ),
        epilog=_EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    index.add_argument(
        "mirror",
        metavar="PLACE",
        help="a folder with run folders, artifacts or telemetry, or s3://BUCKET/PREFIX with uploaded telemetry",
    )
    index.add_argument("--output", metavar="FILE", help="the page (default: index.html in the folder; of S3, here)")
    index.add_argument("--graph", metavar="FILE", help="the pipeline's job graph, for what needs what")
    index.add_argument("--pipeline", metavar="ID", help="print where this pipeline's time went (default: the last one)")
    index.add_argument("--most", metavar="N", help="show only the N newest builds (default: 5000)")
    publish_options.add_s3(index)
    return new


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spack-farm report` with these arguments; return its exit code."""
    arguments = parser().parse_args(argv, namespace=publish_options.Arguments())
    variables = options.environment()
    log = Log(sys.stderr, color=not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stderr.isatty()))
    try:
        publish_options.add_environment(arguments, variables)
        from buildjob.cli.report_index import write  # noqa: PLC0415  --help need not load it

        return write(arguments, log)
    except StoreError as error:
        log.error(str(error))
        return EXIT_CODES[Outcome.FETCH_FAILED]
    except AgentError as error:
        log.error(str(error))
        return EXIT_CODES[error.outcome]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes again what is left when it exits
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2
    except Exception as error:  # noqa: BLE001  the one place that catches broadly
        if advice := extra.advice(error):
            log.error(advice)
            return EXIT_CODES[Outcome.BAD_REQUEST]
        log.error("a bug in spack-farm; please report it with these lines\n" + traceback.format_exc())
        return BUG
