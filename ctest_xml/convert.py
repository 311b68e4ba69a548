"""Turns a log into a folder of documents: Build.xml with its errors and warnings, the log as a note and as an upload.

Knows nothing of Spack and of sending. The log is read as a stream; a packed one is first unpacked beside the documents.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ctest_xml import write
from ctest_xml.blocks import BLOCK_BYTES
from ctest_xml.errors import BadInput
from ctest_xml.files import write_whole
from ctest_xml.log_files import STANDARD_INPUT, base_name, plain_log
from ctest_xml.model import Build, LogEvent, Note, Site, Upload
from ctest_xml.progress import Progress
from ctest_xml.scan import scan

DOCUMENTS = ("Build.xml", "Notes.xml", "Upload.xml")
_DETAILED = 4
"""So many times the limit of events are read in full: some of the first ones are dropped when what follows them is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How a log is turned into documents."""

    rules: Literal["spack", "ctest"] = "spack"
    limit: int = 50
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was found in a log."""

    counts: write.Counts
    first_error: LogEvent | None = None


def convert(
    log: Path, out: Path, *, site: Callable[[float], Site], how: Conversion, progress: Progress | None = None
) -> Converted:
    """Write Build.xml, Notes.xml and Upload.xml of a log into a folder.

    `site`: for the time at which the log ended. Raises BadInput when the log cannot be read or the folder cannot be written.
    """
    progress = progress or Progress(str(log))
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        progress.step("unpacking")
        with progress, plain_log(log, scratch=out, copied=progress.add) as plain:
            return _Writer(log, plain, out, site, how, progress).documents()
    except OSError as error:
        raise BadInput(f"--out {out}: {error}; make room there, or give a folder that can be written to") from error
    finally:
        if is_new:
            with suppress(OSError):
                out.rmdir()  # only if nothing was written into it


class _Writer:
    """One log's documents."""

    def __init__(  # noqa: PLR0913, PLR0917  `convert`'s own arguments, and the unpacked log
        self, log: Path, plain: Path, out: Path, site: Callable[[float], Site], how: Conversion, progress: Progress
    ) -> None:
        self._name = base_name(log)
        self._plain, self._out, self._how, self._progress = plain, out, how, progress
        is_file = log != STANDARD_INPUT and log.is_file()
        self._time_seconds = log.stat().st_mtime if is_file else time.time()
        self._site = site(self._time_seconds)
        self._first_error: LogEvent | None = None

    def documents(self) -> Converted:
        """Write the documents, each whole or not at all."""
        counts = self._build()
        self._progress.step("writing Notes.xml")
        with write_whole(self._out / "Notes.xml") as document:
            note = Note(name=self._name, text=self._plain, time_seconds=self._time_seconds)
            write.notes(document, site=self._site, notes=[note])
        self._progress.step("writing Upload.xml")
        with write_whole(self._out / "Upload.xml") as document:
            uploads = [Upload(name=self._name, content=self._plain, compress=True)]
            write.upload(document, site=self._site, uploads=uploads, time_seconds=self._time_seconds)
        return Converted(counts=counts, first_error=self._first_error)

    def _build(self) -> write.Counts:
        self._progress.step("reading", total_bytes=self._plain.stat().st_size)
        detailed = self._how.limit * _DETAILED or None
        with self._plain.open("rb") as file, write_whole(self._out / "Build.xml") as document:
            events = self._watched(scan(self._chunks(file), rules=self._how.rules, detailed=detailed))
            start = end = self._time_seconds
            build = Build(start_seconds=start, end_seconds=end, command=self._how.command, events=events)
            return write.build(document, site=self._site, build=build, limit=self._how.limit)

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        while chunk := file.read(BLOCK_BYTES):
            self._progress.add(len(chunk))
            yield chunk

    def _watched(self, events: Iterable[LogEvent]) -> Iterator[LogEvent]:
        for event in events:
            self._progress.event()
            if event.kind == "error" and self._first_error is None:
                self._first_error = event
            yield event
