"""`spack-farm report index`: reads the builds of a folder or of S3, writes the page, prints what is on it.

The command line and the way out are `report`'s.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from buildjob.buildcache.storage.store import ObjectInfo
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import DiskFull, NotFound, RequestError, StoreError
from buildjob.log import Log
from buildjob.report.many import text, write_index
from buildjob.report.many.entries import LARGEST_BYTES, Entry, Refused, read_entry
from buildjob.report.many.folder import MOST_BUILDS, Collection, Fault, Reader, collected
from buildjob.report.many.timing import Needs, PipelineTime, pipelines, read_graph
from buildjob.run_folder import INDEX_PAGE

_MOST_FAULTS = 20


def write(arguments: Arguments, log: Log) -> int:
    """Write the page and print what is on it; return the exit code."""
    graph, place = _graph(arguments), ""
    if arguments.mirror.startswith("s3:"):
        output = Path(arguments.output or INDEX_PAGE)
        found, times = _write(arguments, graph, output, up="", read=lambda: _from_s3(arguments, log))
    else:
        folder = _folder_of(arguments.mirror)
        place = str(folder)
        output = Path(arguments.output) if arguments.output else folder / INDEX_PAGE
        way = os.path.relpath(folder, output.parent)
        reader = Reader(folder, most=_most(arguments))
        with write_index.turn(folder):
            found, times = _write(arguments, graph, output, up="" if way == "." else f"{way}/", read=reader.read)
    for fault in found.faults[:_MOST_FAULTS]:
        log.warning(f"not read: {fault.name}: {fault.reason}")
    if len(found.faults) > _MOST_FAULTS:
        log.warning(f"not read: {len(found.faults) - _MOST_FAULTS:,} more; the page lists the first ones")
    sys.stdout.write("".join(f"{line}\n" for line in (*text.lines(found, times, folder=place), f"page: {output}")))
    sys.stdout.flush()
    return 0


def _write(
    arguments: Arguments, graph: Needs | None, output: Path, *, up: str, read: Callable[[], Collection]
) -> tuple[Collection, list[PipelineTime]]:
    """Read the builds and write the page; return what is on it."""
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


def _from_s3(arguments: Arguments, log: Log) -> Collection:
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

    found = [result for _, result in in_parallel(newest, read, workers=connections_of(arguments))]
    return collected(
        [each for each in found if isinstance(each, Entry)],
        [each for each in found if isinstance(each, Fault)],
        left_out=len(listed) - len(newest),
    )


def _most(arguments: Arguments) -> int:
    text = arguments.most or str(MOST_BUILDS)
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 6 and int(text)):
        raise RequestError(f"--most {text}: give a number from 1 to 999999")
    return int(text)


def _graph(arguments: Arguments) -> Needs | None:
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
