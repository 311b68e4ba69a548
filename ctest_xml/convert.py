"""Turns a log into a folder of documents: Build.xml with its errors and warnings, the log as a note and as an upload.

Knows nothing of Spack and of sending. The log is read as a stream; a gzipped one is first unpacked beside the documents.
"""

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctest_xml import write
from ctest_xml.errors import BadInput
from ctest_xml.files import write_whole
from ctest_xml.model import Build, Note, Site, Upload
from ctest_xml.scan import scan

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How a log is turned into documents."""

    rules: Literal["spack", "ctest"] = "spack"
    limit: int = 50
    command: str = ""


def convert(log: Path, out: Path, *, site: Site, how: Conversion) -> write.Counts:
    """Write Build.xml, Notes.xml and Upload.xml of a log into a folder; return what Build.xml counts.

    Raises BadInput when the log cannot be read or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(_no_folder(error, out)) from error
    try:
        time_seconds = log.stat().st_mtime
        with _plain(log, out) as plain:
            return _write(plain, out, log.name.removesuffix(".gz"), site, how, time_seconds)
    except (OSError, EOFError, zlib.error) as error:
        # an error of writing names another file than the log, or none
        of_log = not isinstance(error, OSError) or isinstance(error, gzip.BadGzipFile) or error.filename == str(log)
        raise BadInput(f"{log}: {error}; give a readable log" if of_log else _no_folder(error, out)) from error


def _no_folder(error: Exception, out: Path) -> str:
    return f"--out {out}: {error}; make room there, or give a folder that can be written to"


def _write(plain: Path, out: Path, name: str, site: Site, how: Conversion, time_seconds: float) -> write.Counts:  # noqa: PLR0913, PLR0917
    with plain.open("rb") as file, write_whole(out / "Build.xml") as document:
        events = scan(file, rules=how.rules)
        build = Build(start_seconds=time_seconds, end_seconds=time_seconds, command=how.command, events=events)
        counts = write.build(document, site=site, build=build, limit=how.limit)
    if plain.stat().st_size:
        with write_whole(out / "Notes.xml") as document:
            write.notes(document, site=site, notes=[Note(name=name, text=plain, time_seconds=time_seconds)])
    with write_whole(out / "Upload.xml") as document:
        uploads = [Upload(name=name, content=plain, compress=True)]
        write.upload(document, site=site, uploads=uploads, time_seconds=time_seconds)
    return counts


@contextmanager
def _plain(log: Path, out: Path) -> Iterator[Path]:
    """Yield the log's path, or that of an unpacked copy, which is deleted at the end of the `with`."""
    with log.open("rb") as file:
        if file.read(2) != _GZIP:
            yield log
            return
    with tempfile.NamedTemporaryFile(dir=out, prefix=".log.") as copy, gzip.open(log, "rb") as packed:
        shutil.copyfileobj(packed, copy, 1 << 16)
        copy.flush()
        yield Path(copy.name)
