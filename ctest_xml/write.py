"""Writes CDash's documents from values, as streams, so that CDash stores all that they hold.

One function for each document; `out` is a binary file. Knows nothing of logs, Spack or the network. Obeys: CDash 5.3,
app/Validators/Schemas/*.xsd and app/Http/Submission/Handlers; what its columns hold is in `limits`.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

from lxml import etree

from ctest_xml import limits
from ctest_xml.content import base64_text, chunks, excerpt, gzipped
from ctest_xml.model import Configure, Done, Note, Site, Update, Upload
from ctest_xml.text import clean, clean_name, cut, one_line
from ctest_xml.write_build import Counts, build
from ctest_xml.write_site import minutes, seconds, site_document, subproject
from ctest_xml.write_testing import testing
from ctest_xml.xmlstream import document

__all__ = ["Counts", "build", "configure", "done", "notes", "testing", "update", "upload"]


def configure(out: BinaryIO, *, site: Site, configure: Configure) -> None:
    """Write Configure.xml; of a log over 2 MB, head and tail."""
    with site_document(out, site, machine=True) as xml:
        subproject(xml, site)
        with xml.element("Configure"):
            xml.text("StartConfigureTime", seconds(configure.start_seconds))
            xml.text("ConfigureCommand", configure.command)
            xml.stream("Log", excerpt(configure.log, limit_bytes=limits.NOTE_BYTES))
            xml.text("ConfigureStatus", min(max(configure.errors, 0), limits.SMALLINT))
            xml.text("EndConfigureTime", seconds(configure.end_seconds))
            xml.text("ElapsedMinutes", minutes(configure.start_seconds, configure.end_seconds))


def notes(out: BinaryIO, *, site: Site, notes: Iterable[Note]) -> None:
    """Write Notes.xml; of a note over 2 MB, head and tail. Raises ValueError if there is none: the schema requires one."""
    kept = [note for note in notes if note.text != ""]  # CDash refuses an empty one
    if not kept:
        raise ValueError("Notes.xml needs at least one note with a text")
    with site_document(out, site, machine=False) as xml:
        subproject(xml, site)
        with xml.element("Notes"):
            for note in kept:
                with xml.element("Note", {"Name": cut(note.name, characters=limits.STRING) or "note"}):
                    xml.text("Time", max(1, seconds(note.time_seconds)))
                    xml.stream("Text", _not_empty(excerpt(note.text, limit_bytes=limits.NOTE_BYTES)))


def _not_empty(pieces: Iterable[str]) -> Iterable[str]:
    empty = True
    for piece in pieces:
        empty = empty and not clean(piece)
        yield piece
    if empty:
        yield "(empty)"


def upload(out: BinaryIO, *, site: Site, uploads: Iterable[Upload], time_seconds: float) -> None:
    """Write Upload.xml. Raises ValueError if there is no file: the schema requires one."""
    kept = list(uploads)
    if not kept:
        raise ValueError("Upload.xml needs at least one file")
    with site_document(out, site, machine=False) as xml, xml.element("Upload"):
        xml.text("Time", seconds(time_seconds))
        for file in kept:
            content = chunks(file.content)
            with xml.element("File", {"filename": upload_name(file)}):
                packed = gzipped(content) if file.compress else content
                xml.stream("Content", base64_text(packed), {"encoding": "base64"})


def upload_name(file: Upload) -> str:
    """Return a file's name on CDash: without folder, with an extension (else CDash's job fails), at most 255 characters."""
    name = (
        clean(PurePosixPath(file.name.replace("\\", "/")).name).replace("\n", " ").replace("\t", " ").strip(". ") or "file"
    )
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, "txt"
    extension = extension[-20:] + (".gz" if file.compress else "")
    return f"{stem[: limits.STRING - len(extension) - 1]}.{extension}"


def update(out: BinaryIO, *, site: Site, update: Update) -> None:
    """Write Update.xml in its "version only" form."""
    with (
        document(out) as xml,
        xml.element("Update", {"mode": "Client", "Generator": clean_name(site.generator) or "ctest_xml"}),
    ):
        xml.fragment("Site", clean_name(site.name))
        xml.fragment("BuildName", clean_name(site.build_name))
        xml.fragment("BuildStamp", clean_name(site.build_stamp))
        xml.text("StartTime", seconds(update.start_seconds))
        xml.text("UpdateCommand", "")
        xml.fragment("UpdateType", one_line(update.kind, size=limits.UPDATE_TYPE))
        xml.fragment("Revision", one_line(update.revision, size=limits.REVISION))
        if update.prior_revision:
            xml.fragment("PriorRevision", one_line(update.prior_revision, size=limits.REVISION))
        xml.text("EndTime", seconds(update.end_seconds))
        xml.text("ElapsedMinutes", minutes(update.start_seconds, update.end_seconds))
        xml.text("UpdateReturnStatus", update.status)


def done(out: BinaryIO, *, done: Done) -> None:
    """Write Done.xml."""
    node = etree.Element("Done")
    etree.SubElement(node, "buildId").text = clean(done.build_id)
    etree.SubElement(node, "time").text = str(seconds(done.time_seconds))
    etree.ElementTree(node).write(out, encoding="UTF-8", xml_declaration=True)
