"""A Spack build on CDash: what each page of it will show, read from the documents."""

import base64
import zlib
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from ctest_xml.check import check
from ctest_xml.mapping import PackageBuild, Reported, write_documents
from ctest_xml.model import Measurement, Note, Phase, Sample, Site, Upload
from ctest_xml.phases import phase_logs

LOG = b"""==> zlib: Executing phase: 'cmake'
configure: WARNING: old
-- ok
==> zlib: Executing phase: 'build'
a.c:1: warning: unused
\x1b[01ma.c:3:2: error: bad\x1b[m
==> zlib: Executing phase: 'install'
-- Installing
"""
SITE = Site(name="runner", build_name="zlib %gcc@12", build_stamp="20261122-0742-Spack")
CMAKE = Phase(
    name="cmake",
    start_seconds=100.5,
    wall_seconds=2,
    memory_before_bytes=1 << 20,
    memory_peak_bytes=50 << 20,
    cpu_user_seconds=3,
)
BUILD = Phase(name="build", start_seconds=102.5, wall_seconds=10, exit_code=1, memory_peak_bytes=700 << 20)
SAMPLES = tuple(Sample(time_seconds=100 + second, memory_bytes=second << 20, cpu_cores=1.5) for second in range(1000))


def write_one(folder: Path, log: bytes | None = LOG, **parts: Any) -> Reported:
    path = folder.parent / "spack-build-out.txt"
    if log is not None:
        path.write_bytes(log)
        parts["log"] = path
    build = PackageBuild(
        site=SITE, package="zlib", start_seconds=100, end_seconds=113, command="spack install zlib", **parts
    )
    return write_documents(folder, build)


def read(folder: Path, name: str) -> etree._Element:
    return etree.parse(folder / name).getroot()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_all_documents_are_written_and_good(folder: Path) -> None:
    write_one(
        folder,
        phases=(CMAKE, BUILD),
        samples=SAMPLES,
        labels=("zlib@1.3", "/abc & co"),
        notes=(Note(name="spec.yaml", text="spec: <x>", time_seconds=5),),
        uploads=(Upload(name="telemetry.json", content="{}"),),
        images=(Measurement(name="memory", type="image/png", value=b"\x89PNG"),),
        revision="a" * 40,
        exit_condition="1",
    )
    documents = sorted(folder.iterdir())
    assert [path.name for path in documents] == [
        "Build.xml",
        "Configure.xml",
        "Notes.xml",
        "Test.xml",
        "Update.xml",
        "Upload.xml",
    ]
    assert [fault for path in documents for fault in check(path)] == []


def test_the_first_error_is_told_and_shown(folder: Path) -> None:
    reported = write_one(folder, phases=(CMAKE, BUILD), exit_condition="1")
    assert reported.first_error is not None
    assert (reported.first_error.log_line, reported.first_error.file, reported.first_error.file_line) == (6, "a.c", 3)
    assert read(folder, "Build.xml").findtext(".//Error/BuildLogLine") == "6"


def test_warnings_of_configure_are_counted_once_by_cdash_itself(folder: Path) -> None:
    write_one(folder, phases=(CMAKE, BUILD))
    assert [node.text for node in read(folder, "Build.xml").findall(".//Warning/Text")] == ["a.c:1: warning: unused"]
    assert "configure: WARNING: old" in str(read(folder, "Configure.xml").findtext(".//Log"))


def test_configure_has_its_own_times_and_status(folder: Path) -> None:
    write_one(folder, phases=(CMAKE, BUILD))
    root = read(folder, "Configure.xml")
    assert [root.findtext(f".//{tag}") for tag in ("StartConfigureTime", "EndConfigureTime", "ConfigureStatus")] == [
        "100",
        "102",
        "0",
    ]
    assert read(folder, "Build.xml").findtext(".//StartBuildTime") == "102"


def test_a_failure_before_the_first_phase_is_a_failed_configure(folder: Path) -> None:
    reported = write_one(folder, log=None, early_failure="fetch: 404 for zlib-1.3.tar.gz", exit_condition="1")
    root = read(folder, "Configure.xml")
    assert (root.findtext(".//ConfigureStatus"), root.findtext(".//Log")) == ("1", "fetch: 404 for zlib-1.3.tar.gz")
    assert reported.first_error is not None
    assert reported.first_error.text.startswith("fetch: 404")


def test_a_silent_failure_shows_how_it_ended_and_the_tail(folder: Path) -> None:
    write_one(folder, log=b"compiling\nlast words\n", exit_condition="Terminated by signal 15")
    root = read(folder, "Build.xml")
    assert root.findtext(".//Failure/Result/ExitCondition") == "spack install zlib: Terminated by signal 15"
    assert root.findtext(".//Failure/Result/StdErr") == "compiling\nlast words\n"


def test_a_kill_for_memory_is_shown_first(folder: Path) -> None:
    reported = write_one(folder, memory_kill="limit 512.0 MiB, peak 511.9 MiB", exit_condition="137")
    assert reported.killed_for_memory
    first = read(folder, "Build.xml").findtext(".//Failure/Result/ExitCondition")
    assert first == "Killed: out of memory (limit 512.0 MiB, peak 511.9 MiB)"


def test_a_kill_that_only_the_log_knows_is_told(folder: Path) -> None:
    assert write_one(folder, log=b"g++: fatal error: Killed signal terminated program cc1plus\n").killed_for_memory


def test_the_memory_curve_has_at_most_300_points_and_keeps_the_peak(folder: Path) -> None:
    write_one(folder, samples=SAMPLES)
    nodes = read(folder, "Build.xml").findall(".//Custom")
    assert len(nodes) <= 300
    values = [float(str(node.findtext("NamedMeasurement[@name='BeforeHostMemoryUsed']/Value"))) for node in nodes]
    assert max(values) == 999 * 1024
    starts = [int(node.get("timeStart", "0")) for node in nodes]
    ends = [start + int(node.get("duration", "0")) for start, node in zip(starts, nodes, strict=True)]
    assert ends[:-1] == starts[1:]


def test_each_phase_is_a_bar_and_a_test_with_its_costs(folder: Path) -> None:
    write_one(folder, phases=(CMAKE, BUILD))
    bar = read(folder, "Build.xml").find(".//Custom[@command='spack phase: cmake']")
    assert bar is not None
    assert (bar.get("duration"), bar.get("timeStart")) == ("2000", "100500")
    test = read(folder, "Test.xml").findall(".//Testing/Test")[0]
    found = {str(node.get("name")): node.findtext("Value") for node in test.iter("NamedMeasurement")}
    assert (found["Execution Time"], found["PeakMemoryMiB"], found["CPUPercent"]) == ("2", "50", "150")


def test_the_build_tools_own_time_is_a_bar_and_no_step(folder: Path) -> None:
    start = Phase(name="spack-start", start_seconds=100, wall_seconds=0.5, is_step=False)
    end = Phase(name="spack-end", start_seconds=112.5, wall_seconds=0.5, is_step=False)
    write_one(folder, phases=(start, CMAKE, BUILD, end))
    build = read(folder, "Build.xml")
    assert [str(bar.get("command")) for bar in build.iter("Custom")] == [
        f"spack phase: {name}" for name in ("spack-start", "cmake", "build", "spack-end")
    ]
    assert build.findtext(".//StartBuildTime") == "102", "the build begins with its first step after configure"
    assert [node.text for node in read(folder, "Test.xml").findall(".//Testing/Test/Name")] == ["zlib.cmake", "zlib.build"]


def test_without_a_step_there_are_no_tests(folder: Path) -> None:
    write_one(folder, phases=(Phase(name="command", start_seconds=100, wall_seconds=13, is_step=False),))
    assert not (folder / "Test.xml").exists()
    assert read(folder, "Build.xml").findtext(".//StartBuildTime") == "100"


def test_a_phase_that_appears_again_is_a_test_of_its_own_with_its_own_log(folder: Path) -> None:
    again = Phase(name="cmake", start_seconds=112.5, wall_seconds=0.5)
    write_one(folder, log=LOG + b"==> zlib: Executing phase: 'cmake'\nagain\n", phases=(CMAKE, BUILD, again))
    tests = read(folder, "Test.xml").findall(".//Testing/Test")
    assert [test.findtext("Name") for test in tests] == ["zlib.cmake", "zlib.build", "zlib.cmake.2"]
    logs = [str(test.findtext(".//Results/Measurement/Value")) for test in tests]
    assert logs[2].strip() == "==> zlib: Executing phase: 'cmake'\nagain"
    assert "-- ok" in logs[0]


def test_a_phase_carries_its_own_part_of_the_log(folder: Path) -> None:
    write_one(folder, log=LOG.replace(b"-- ok", b"-- ok\n" * 400), phases=(CMAKE,))
    value = read(folder, "Test.xml").find(".//Measurement/Value")
    assert value is not None
    text = zlib.decompress(base64.b64decode(str(value.text))).decode()
    assert text.startswith("==> zlib: Executing phase: 'cmake'")
    assert "a.c:1" not in text


@pytest.mark.parametrize(
    "log", [b"no headings\n", LOG.replace(b"'build'", b"'configure'").replace(b"'install'", b"'build'")]
)
def test_the_log_of_configure_is_that_of_its_phases(folder: Path, log: bytes) -> None:
    configure = Phase(name="configure", start_seconds=103, wall_seconds=1)
    write_one(folder, log=log, phases=(CMAKE, configure, BUILD))
    text = str(read(folder, "Configure.xml").findtext(".//Log"))
    assert ("Executing phase: 'cmake'" in text) is ("Executing phase: 'configure'" in text) is (b"phase" in log)
    assert "Executing phase: 'build'" not in text


def test_configure_phases_that_do_not_follow_each_other_are_joined(folder: Path) -> None:
    log = LOG + b"==> zlib: Executing phase: 'setup'\nlate\n"
    setup = Phase(name="setup", start_seconds=112, wall_seconds=1)
    write_one(folder, log=log, phases=(CMAKE, BUILD, setup))
    text = str(read(folder, "Configure.xml").findtext(".//Log"))
    assert text.startswith("==> zlib: Executing phase: 'cmake'\n")
    assert text.endswith("==> zlib: Executing phase: 'setup'\nlate\n")
    assert "a.c:1" not in text


def test_tests_can_be_left_out(folder: Path) -> None:
    write_one(folder, phases=(CMAKE,), phase_tests=False)
    assert not (folder / "Test.xml").exists()


def test_phases_are_found_by_byte_and_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(LOG)
    parts = phase_logs(path)
    assert [(part.name, part.first_line) for part in parts] == [("cmake", 1), ("build", 4), ("install", 7)]
    assert b"".join(LOG[part.part.start : part.part.end] for part in parts) == LOG
