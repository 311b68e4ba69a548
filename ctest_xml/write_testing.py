"""Test.xml: tests with their measurements and output.

Obeys: CDash 5.3, app/Validators/Schemas/Test.xsd, TestingHandler.php, TestCreator.php (output compressed by zlib, the names
`Execution Time`, `Completion Status`, `Exit Code`), docs/test_measurements.md.
"""

import itertools
import math
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

from ctest_xml import limits
from ctest_xml.content import base64_text, chunks, excerpt, tar_gz, texts, zlibbed
from ctest_xml.model import Content, Measurement, Site, Test, Testing
from ctest_xml.text import clean, cut, cut_bytes
from ctest_xml.write_site import minutes, number, seconds, site_document, subproject, write_labels
from ctest_xml.xmlstream import XmlStream

_COMPRESS_FROM_BYTES = 512


def testing(out: BinaryIO, *, site: Site, testing: Testing) -> int:
    """Write Test.xml; return how many tests were left out, because CDash can count only 32,767."""
    tests = iter(testing.tests)
    with site_document(out, site, machine=True) as xml:
        subproject(xml, site)
        with xml.element("Testing"):
            xml.text("StartTestTime", seconds(testing.start_seconds))
            for test in itertools.islice(tests, limits.SMALLINT):
                _test(xml, test)
            xml.text("EndTestTime", seconds(testing.end_seconds))
            xml.text("ElapsedMinutes", minutes(testing.start_seconds, testing.end_seconds))
    return sum(1 for _ in tests)


def _test(xml: XmlStream, test: Test) -> None:
    path = cut(test.path, characters=limits.STRING) or "."
    with xml.element("Test", {"Status": test.status}):
        xml.text("Name", cut_bytes(test.name, size=limits.STRING))
        xml.text("Path", path)
        xml.text("FullName", f"{path}/{cut_bytes(test.name, size=limits.STRING)}")
        xml.text("FullCommandLine", test.command_line)
        if test.start_seconds is not None and math.isfinite(test.start_seconds):
            xml.text("StartTestTime", number(float(max(0.0, test.start_seconds))))
        with xml.element("Results"):
            for measurement in (*_special(test), *test.measurements):
                _measurement(xml, measurement)
            with xml.element("Measurement"):
                _output(xml, test.output)
        write_labels(xml, test.labels)


def _special(test: Test) -> Iterable[Measurement]:
    """Yield what CDash stores on the test itself; completion and exit code share a column of 255 characters."""
    if test.execution_seconds is not None and math.isfinite(test.execution_seconds):
        yield Measurement(name="Execution Time", value=min(max(0.0, test.execution_seconds), limits.EXECUTION_SECONDS))
    if test.exit_code:
        yield Measurement(name="Exit Code", value=cut(test.exit_code, characters=100), type="text/string")
    yield Measurement(
        name="Completion Status", value=cut(test.completion or "Completed", characters=150), type="text/string"
    )


def _measurement(xml: XmlStream, measurement: Measurement) -> None:
    attributes = {"type": measurement.type, "name": cut(measurement.name, characters=limits.STRING)}
    value = measurement.value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return
        value = number(value)
    if measurement.type == "file":
        name = cut(PurePosixPath(measurement.file_name or measurement.name).name, characters=limits.STRING) or "file"
        attributes |= {"encoding": "base64", "compression": "tar/gzip", "filename": name}
        pieces = base64_text([tar_gz(name, value)])
    elif measurement.type.startswith("image/"):
        attributes["encoding"] = "base64"
        pieces = base64_text(chunks(value))
    else:
        pieces = texts(value)
    with xml.element("NamedMeasurement", attributes):
        xml.stream("Value", pieces)


def _output(xml: XmlStream, output: Content) -> None:
    """Write a test's output: plain if it is short, else compressed; of one over 2 MB, head and tail."""
    pieces = excerpt(output, limit_bytes=limits.NOTE_BYTES)
    head = "".join(itertools.islice(pieces, 1))
    if len(head) < _COMPRESS_FROM_BYTES:
        xml.stream("Value", itertools.chain([head], pieces))
        return
    whole = (clean(piece).encode() for piece in itertools.chain([head], pieces))
    xml.stream("Value", base64_text(zlibbed(whole)), {"encoding": "base64", "compression": "gzip"})
