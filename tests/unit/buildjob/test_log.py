"""The agent's own lines."""

import io

import pytest

from buildjob.log import Log


def said(*, color: bool) -> str:
    stream = io.StringIO()
    log = Log(stream, color=color)
    log.step("building")
    log.note("good to know")
    log.warning("look")
    log.error("what, which, what next")
    log.plain("a table")
    return stream.getvalue()


def test_each_line_says_what_it_is() -> None:
    assert said(color=False) == (
        "spack-farm: building\nspack-farm: good to know\nspack-farm: warning: look\n"
        "spack-farm: error: what, which, what next\na table\n"
    )


def test_errors_go_to_standard_error_and_all_else_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.step("building")
    log.warning("look")
    log.error("what, which, what next")
    log.plain("a table")
    printed = capsys.readouterr()
    assert printed.err == "spack-farm: error: what, which, what next\n"
    assert printed.out == "spack-farm: building\nspack-farm: warning: look\na table\n"


def test_each_stream_has_its_own_color(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(color=True, error_color=False)
    log.step("building")
    log.error("what, which, what next")
    printed = capsys.readouterr()
    assert ("\x1b" in printed.out, "\x1b" in printed.err) == (True, False)


def test_color_changes_the_looks_only() -> None:
    plain = said(color=True)
    assert "\x1b[" in plain
    for code in ("1;36", "1;33", "1;31", "0"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == said(color=False)


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Log(stream).note("× ü")
    assert raw.getvalue() == b"spack-farm: \\xd7 \\xfc\n"
