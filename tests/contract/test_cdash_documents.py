"""Clause: every document we write is valid against CDash's own schemas (app/Validators/Schemas) and passes `check`."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from ctest_xml import write
from ctest_xml.check import check
from ctest_xml.model import (
    Build,
    Command,
    Configure,
    Done,
    Failure,
    LogEvent,
    Measurement,
    Note,
    Site,
    Test,
    Testing,
    Update,
    Upload,
)
from tests.labs.cdash_schemas import fault

SITE = Site(
    name="lab",
    build_name="zlib %gcc@12",
    build_stamp="20261122-0742-Spack",
    subproject="zlib & co",
    append=True,
    os_name="Linux",
    is_64_bits=True,
    cpu_clock_hertz=2.4e9,
    memory_bytes=64 << 30,
)
HOSTILE = "\x00\x1b[31m<&>]]>\udcff\ufffe\r\n" * 50
EVENTS = [LogEvent(kind=kind, log_line=9, text=HOSTILE, file=HOSTILE, file_line=3) for kind in ("error", "warning")]
FAILURE = Failure(arguments=("cc", HOSTILE), exit_condition="1", labels=("a & b",), stderr=HOSTILE, target_name=HOSTILE)
NUMBER = Measurement(name=HOSTILE, value=1.5)
COMMAND = Command(command=HOSTILE, start_seconds=5, duration_seconds=2, measurements=(NUMBER,))
FILES = (
    Measurement(name="plot", type="image/png", value=b"\x89PNG"),
    Measurement(name="x", type="file", value=HOSTILE, file_name="a.txt"),
)
TEST = Test(
    name=HOSTILE, status="failed", output=HOSTILE * 30, measurements=(NUMBER, *FILES), labels=("l",), start_seconds=1.5
)

WRITERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Build": (
        write.build,
        {
            "build": Build(
                start_seconds=1.7e9,
                end_seconds=1.8e9,
                command=HOSTILE,
                source_directory="/s",
                binary_directory="/b",
                labels=("l", HOSTILE),
                events=EVENTS,
                failures=[FAILURE],
                commands=[COMMAND],
            )
        },
    ),
    "empty Build": (write.build, {"build": Build(start_seconds=0, end_seconds=float("nan"), command="")}),
    "Configure": (write.configure, {"configure": Configure(start_seconds=1, end_seconds=0, command=HOSTILE, log=HOSTILE)}),
    "Test": (write.testing, {"testing": Testing(start_seconds=1, end_seconds=2, tests=[TEST])}),
    "Notes": (write.notes, {"notes": [Note(name=HOSTILE, text=HOSTILE, time_seconds=0)]}),
    "Upload": (write.upload, {"uploads": [Upload(name=HOSTILE, content=HOSTILE)], "time_seconds": 1}),
    "Update": (write.update, {"update": Update(start_seconds=1, end_seconds=2, revision=HOSTILE, prior_revision="x")}),
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_document_is_valid_against_the_schema_of_cdash(name: str) -> None:
    writer, parts = WRITERS[name]
    out = io.BytesIO()
    writer(out, site=SITE, **parts)
    assert not check(out.getvalue())
    assert not fault(out.getvalue())


def test_done_is_valid_against_the_schema_of_cdash() -> None:
    out = io.BytesIO()
    write.done(out, done=Done(build_id="12", time_seconds=3))
    assert not fault(out.getvalue())
