import io

from ctest_xml.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(out: io.StringIO, *, seconds: float) -> str:
    """Read 100 MB in pieces of 1 MB, each of which takes `seconds`."""
    now = [0.0]
    progress = Progress("build.log", out=out, clock=lambda: now[0])
    progress.step("reading", total_bytes=100_000_000)
    for _ in range(100):
        now[0] += seconds
        progress.event()
        progress.add(1_000_000)
    progress.end()
    return out.getvalue()


def test_what_is_quick_shows_nothing() -> None:
    assert run(io.StringIO(), seconds=0.09) == ""
    assert run(Terminal(), seconds=0.004) == ""


def test_a_log_file_gets_a_line_each_ten_seconds() -> None:
    lines = run(io.StringIO(), seconds=0.5).splitlines()
    assert lines[0] == "build.log: reading, 20 of 100 MB, 20 errors and warnings"
    assert len(lines) == 5


def test_a_terminal_has_one_line_that_is_cleared() -> None:
    shown = run(Terminal(), seconds=0.4)
    assert shown.startswith("\rbuild.log: reading, 2 of 100 MB, 2 errors and warnings\x1b[K\r")
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown
