from pathlib import Path

from ctest_xml.phases import phase_logs


def phases(folder: Path, log: bytes) -> list[tuple[str, int, bytes]]:
    path = folder / "log"
    path.write_bytes(log)
    return [(part.name, part.first_line, log[part.part.start : part.part.end]) for part in phase_logs(path)]


def test_a_phase_reaches_from_its_heading_to_the_next(tmp_path: Path) -> None:
    log = (
        b"==> before any phase\n"
        b"==> [2026-11-22-07:42:01.1] zlib: Executing phase: 'configure'\none\n"
        b"==> zlib: Executing phase: 'build'\ntwo\nthree"
    )
    assert phases(tmp_path, log) == [
        ("configure", 2, b"==> [2026-11-22-07:42:01.1] zlib: Executing phase: 'configure'\none\n"),
        ("build", 4, b"==> zlib: Executing phase: 'build'\ntwo\nthree"),
    ]


def test_a_log_without_headings_has_no_phases(tmp_path: Path) -> None:
    assert phases(tmp_path, b"") == []
    assert phases(tmp_path, b"==> Installing zlib\n echo ==> x: Executing phase: 'y'\n") == []


def test_a_heading_counts_at_the_start_of_a_line_only(tmp_path: Path) -> None:
    """Long lines are read in pieces of 4096 bytes; a piece may begin with what looks like a heading."""
    heading = b"==> zlib: Executing phase: 'build'\n"
    assert phases(tmp_path, b"x" * 4096 + heading) == []
    assert phases(tmp_path, b"x" * 5000 + b"\n" + heading) == [("build", 2, heading)]


def test_the_same_phase_twice_has_two_parts(tmp_path: Path) -> None:
    log = b"==> a: Executing phase: 'build'\n" * 2
    assert [(name, line) for name, line, _ in phases(tmp_path, log)] == [("build", 1), ("build", 2)]
