"""The page of a log: phases, errors, numbered lines, what is left out; bounded and inert whatever the log holds."""

import random
from pathlib import Path

import pytest

from buildjob.report.log_page import page, read, windows
from buildjob.report.log_page.errors import LogErrors, group
from buildjob.run_folder import PhaseStart
from tests.labs.html_reader import Node, read_html

_HOSTILE = b"</li><script>alert(1)</script><img src=x onerror=alert(1)> &lt; "
_HOSTILE += b"\xe2\x80\xae\xe2\x81\xa6 \x00 \xff \x1b]0;t\x07\x1b[31mred\x1b[0m"


def _rendered(
    folder: Path,
    content: bytes,
    *,
    errors: LogErrors | None = None,
    phases: tuple[PhaseStart, ...] = (),
    title: str = "app 1",
) -> str:
    log = folder / "build.log"
    log.write_bytes(content)
    lines, size = read.measure(log)
    found = errors or LogErrors()
    chosen = windows.choose(lines, errors=[each.line for each in found.kinds], phases=[each.line for each in phases])
    known = page.Log(title=title, lines=lines, size_bytes=size, phases=phases, errors=found)
    return page.render(known, read.lines_of(log, chosen))


def _page(folder: Path, content: bytes, **how: object) -> Node:
    return read_html(_rendered(folder, content, **how))  # type: ignore[arg-type]


def _lines(root: Node) -> list[tuple[str, str]]:
    listing = next(node for node in root.all("div") if node.attributes.get("id") == "log")
    return [(line.attributes["id"], line.text()) for line in listing.all("li")]


def test_lines_have_their_numbers_and_phases_and_errors_their_places(tmp_path: Path) -> None:
    phases = (PhaseStart("stage", 0, 1), PhaseStart("build", 9, 3))
    root = _page(tmp_path, b"one\ntwo\nthree\nfour", errors=group([(3, "three"), (4, "three")]), phases=phases)
    assert _lines(root) == [("L1", "one"), ("L2", "two"), ("L3", "three"), ("L4", "four")]
    assert [(part.tag, part.attributes.get("start", part.text())) for part in root.walk() if part.tag in {"h3", "ol"}] == [
        ("h3", "stage"),
        ("ol", "1"),
        ("h3", "build"),
        ("ol", "3"),
    ]
    assert [line.attributes["id"] for line in root.all("li", "error")] == ["L3", "L4"]
    targets = [link.attributes["href"] for link in root.all("a")]
    assert targets == ["report.html", "build.log", "#L3", "#P0", "#P1", "#end"]
    names = {node.attributes["id"] for node in root.walk() if "id" in node.attributes}
    assert {target[1:] for target in targets if target[0] == "#"} <= names


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m and \x1b[Kplain", "red and plain"),
        (b"10 %\r50 %\r100 %", "100 %"),
        (b"windows\r", "windows"),
        (b"a\tb", "a       b"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"nul \x00 bidi \xe2\x80\xae", "nul \\x00 bidi \\u202e"),
        (b"<b>&amp;</b>", "<b>&amp;</b>"),
        ("päckage 包".encode(), "päckage 包"),
        (b"x" * 5_000, "x" * 1_000 + " … (cut: 4,004 characters)"),
    ],
)
def test_a_line_reads_as_a_terminal_would_show_it(raw: bytes, shown: str, tmp_path: Path) -> None:
    assert _lines(_page(tmp_path, raw + b"\nnext\n")) == [("L1", shown), ("L2", "next")]


def test_an_empty_log_says_so(tmp_path: Path) -> None:
    assert "The log is empty." in _page(tmp_path, b"").text()


def test_nothing_in_a_hostile_log_acts(tmp_path: Path) -> None:
    root = _page(
        tmp_path,
        _HOSTILE + b"\n",
        errors=group([(1, _HOSTILE.decode("utf-8", "replace"))]),
        title=_HOSTILE.decode("latin-1"),
    )
    assert len(root.all("script")) == 1
    assert root.all("img") == []
    assert not set("\u202e\u2066\x00\x1b\x07") & set(root.text())


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    content = b"".join(b"line %d\n" % number for number in range(1, 50_001))
    root = _page(tmp_path, content, errors=group([(20_000, "line 20000")]))
    gaps = [gap.text() for gap in root.all("p", "gap")]
    assert gaps == [
        "Lines 1,001 to 19,879 are left out; build.log has all.",
        "Lines 20,121 to 46,000 are left out; build.log has all.",
    ]
    assert _lines(root)[-1] == ("L50000", "line 50000")
    assert [part.attributes["start"] for part in root.all("ol")][3:6] == ["19880", "46001", "46401"]


@pytest.mark.parametrize("kind", ["long lines", "one line", "many lines", "controls"])
def test_a_log_of_any_size_gives_a_bounded_page_with_its_error_and_its_end(kind: str, tmp_path: Path) -> None:
    noise = random.Random(3).randbytes(2_000).replace(b"\n", b"")
    content = {
        "long lines": (noise + b"\n") * 20_000,
        "one line": b"x" * 40_000_000,
        "many lines": b"\n" * 3_000_000,
        "controls": (b"\x01" * 1_500 + b"\n") * 20_000,
    }[kind] + b"\nan error\n" + b"after\n" * 200  # fmt: skip
    error = content.count(b"\n") - 200
    text = _rendered(tmp_path, content, errors=group([(error, "an error")]))
    assert len(text.encode()) < page.MOST_BYTES
    assert f'<li id="L{error}" class="error">an error</li>' in text
    assert f'<li id="L{error + 200}">after</li>' in text
    assert ("left out" in text) == (kind != "one line")
