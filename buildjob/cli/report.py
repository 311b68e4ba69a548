"""`spack-farm report`: pages of many builds, from a folder or from uploaded telemetry.

Its own way out, as all verbs: an error becomes a line and an exit code. Options of S3 may come from `SPACK_FARM_PUBLISH_…`.
"""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from buildjob import extra, options
from buildjob.buildcache.storage.store import ObjectInfo
from buildjob.cli import publish_options
from buildjob.errors import AgentError, DiskFull, NotFound, RequestError, StoreError
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES, Outcome
from buildjob.report.many.entries import LARGEST_BYTES, Entry, Refused, read_entry
from buildjob.report.many.folder import MOST_BUILDS, Collection, Fault, Reader, collected
from buildjob.report.many.timing import Needs, PipelineTime, pipelines, read_graph
from buildjob.run_folder import INDEX_PAGE

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
_MOST_FAULTS = 20


class _Arguments(publish_options.Arguments):
    output: str | None
    graph: str | None
    pipeline: str | None
    most: str | None


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
    arguments = parser().parse_args(argv, namespace=_Arguments())
    variables = options.environment()
    log = Log(sys.stderr, color=not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stderr.isatty()))
    try:
        publish_options.add_environment(arguments, variables)
        return _index(arguments, log)
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


def _index(arguments: _Arguments, log: Log) -> int:
    from buildjob.report.many import text, write_index  # noqa: PLC0415  --help need not load it

    graph = _graph(arguments)
    if arguments.mirror.startswith("s3:"):
        output = Path(arguments.output or INDEX_PAGE)
        found, times = _write(arguments, graph, output, up="", read=lambda: _from_s3(arguments, log))
    else:
        folder = _folder_of(arguments.mirror)
        output = Path(arguments.output) if arguments.output else folder / INDEX_PAGE
        way = os.path.relpath(folder, output.parent)
        reader = Reader(folder, most=_most(arguments))
        with write_index.turn(folder):
            found, times = _write(arguments, graph, output, up="" if way == "." else f"{way}/", read=reader.read)
    for fault in found.faults[:_MOST_FAULTS]:
        log.warning(f"not read: {fault.name}: {fault.reason}")
    if len(found.faults) > _MOST_FAULTS:
        log.warning(f"not read: {len(found.faults) - _MOST_FAULTS:,} more; the page lists the first ones")
    sys.stdout.write("".join(f"{line}\n" for line in (*text.lines(found, times), f"page: {output}")))
    sys.stdout.flush()
    return 0


def _write(
    arguments: _Arguments, graph: Needs | None, output: Path, *, up: str, read: Callable[[], Collection]
) -> tuple[Collection, list[PipelineTime]]:
    """Read the builds and write the page; return what is on it."""
    from buildjob.report.many import write_index  # noqa: PLC0415  as above

    place = arguments.mirror
    try:
        everything = read()
    except OSError as error:
        raise RequestError(f"{place}: can't be read: {error.strerror or error}") from error
    if not everything.entries and not everything.faults:
        raise RequestError(
            f"{place}: there is no telemetry; give a folder with run folders, or s3://BUCKET/PREFIX/telemetry"
        )
    times = pipelines(everything.entries, graph, only=arguments.pipeline or "")
    if arguments.pipeline and not times:
        raise RequestError(f"--pipeline {arguments.pipeline}: no build of that pipeline is in {place}")
    shown = write_index.shown(everything)
    try:
        write_index.write(output, shown, times, up=up)
    except write_index.NotOurs as error:
        raise RequestError(f"{error}, with --output") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{output}: there is no room for the page: {error.strerror}") from error
        raise RequestError(f"{output}: the page can't be written: {error.strerror or error}") from error
    return shown, times


def _folder_of(place: str) -> Path:
    """Return the folder that an argument names. Raises RequestError if it is none."""
    parts = urlsplit(place)
    folder = Path(unquote(parts.path)) if parts.scheme == "file" else Path(place)
    if parts.scheme not in {"", "file"} and not folder.is_dir():
        raise RequestError(f"{place}: telemetry is read from folders and from s3:// only")
    if not os.path.isdir(folder):  # noqa: PTH112  of any name
        raise RequestError(f"{place}: there is no such folder")
    return folder


def _from_s3(arguments: _Arguments, log: Log) -> Collection:
    """Return what uploaded documents hold, read side by side: the newest ones by the day in their keys."""
    from buildjob.buildcache import layout  # noqa: PLC0415  boto3 is loaded for S3 only
    from buildjob.buildcache.workers import in_parallel  # noqa: PLC0415
    from buildjob.cli.publish_inputs import open_mirror  # noqa: PLC0415

    store = open_mirror(arguments, arguments.mirror, log)
    # the address of a build cache, or of the telemetry in one, or of a part of that
    prefix = "" if "telemetry" in urlsplit(arguments.mirror).path.split("/") else layout.TELEMETRY
    listed = [info for info in store.list(prefix) if info.key.endswith(".json")]
    newest = sorted(listed, key=lambda info: (-info.modified_seconds, info.key))[: _most(arguments)]

    def read(info: ObjectInfo) -> Entry | Fault:
        try:
            return read_entry(store.read(info.key, limit_bytes=LARGEST_BYTES).data)
        except Refused as refused:
            return Fault(info.key, str(refused))
        except NotFound:
            return Fault(info.key, "deleted while it was to be read")
        except StoreError as error:
            if info.size_bytes <= LARGEST_BYTES:
                raise
            return Fault(info.key, str(error))

    found = [result for _, result in in_parallel(newest, read, workers=publish_options.connections_of(arguments))]
    return collected(
        [each for each in found if isinstance(each, Entry)],
        [each for each in found if isinstance(each, Fault)],
        left_out=len(listed) - len(newest),
    )


def _most(arguments: _Arguments) -> int:
    text = arguments.most or str(MOST_BUILDS)
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 6 and int(text)):
        raise RequestError(f"--most {text}: give a number from 1 to 999999")
    return int(text)


def _graph(arguments: _Arguments) -> Needs | None:
    if not arguments.graph:
        return None
    try:
        content = Path(arguments.graph).read_bytes()
    except OSError as error:
        raise RequestError(f"--graph {arguments.graph}: {error.strerror or error}") from error
    try:
        return read_graph(content)
    except ValueError as error:
        raise RequestError(f"--graph {arguments.graph}: {error}") from error
