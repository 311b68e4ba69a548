"""Our pages in a real Chromium: widths, color schemes, keyboard, without script, accessibility, and nothing foreign acts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from buildjob.report.log_excerpt import LogExcerpt
from buildjob.report.log_page import page as log_page
from buildjob.report.log_page.errors import group
from buildjob.report.log_page.windows import Weight, Window
from buildjob.report.many import index_page
from buildjob.report.many.entries import read_entry
from buildjob.report.many.folder import collected
from buildjob.report.many.write_index import update
from buildjob.report.page import render
from buildjob.run_folder import PhaseStart
from buildjob.telemetry import FirstError
from tests.labs import chromium
from tests.labs.checkout import ROOT
from tests.labs.chromium import Tab
from tests.labs.made_up_builds import document, encoded, job, many, run_folder
from tests.labs.telemetry_samples import map_texts, sample

_WIDTHS = (360, 768, 1440)
_HOSTILE = "</td></li></code><script>window.evil=1</script><img src=http://127.0.0.1:9/x onerror=window.evil=1>\u202e\"'"
_ERRORS = group([(3, "a.c:3:1: error: 'x' undeclared"), (5, "ld: error: no y"), (7, "b.c:1:1: error: 'x' undeclared")])


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    program = chromium.find()
    if not program:
        pytest.skip("chromium is not installed")
    with chromium.browser(program) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> str:
    done = subprocess.run([ROOT / "scripts/get-axe"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(done.stderr.strip())
    return Path(done.stdout.strip()).read_text("utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    out = folder / "out"
    for made in many(27):
        run_folder(out, made)
    needs = [{"name": "zlib", "version": "1.0", "hash": "a" * 32, "outcome": "build_failed"}]
    run_folder(out, document("app", outcome="dependency_failed", failed_dependencies=needs, job=job(5)))
    run_folder(out, document("grown", "1", begin=1.0))
    run_folder(out, document("grown", "2", begin=900.0, memory_bytes=3 << 30))
    (out / "broken").mkdir()
    (out / "broken" / "telemetry.json").write_text("{")
    update(out)
    excerpt = LogExcerpt(first_line=2, lines=["cc -c a.c", "error " + "x" * 300, "done"], error_line=3)
    error = FirstError(line=3, text="a.c:3:1: error: 'x' undeclared", file="a.c:3", phase="build")
    failed = sample(outcome="build_failed", exit_code=1, first_error=error)
    (folder / "report.html").write_text(render(sample(), excerpt=None, links=(), reproduce="spack install x"))
    (folder / "failed.html").write_text(render(failed, excerpt=excerpt, links=(), reproduce="x", errors=_ERRORS))
    (folder / "log.html").write_text(_log([f"line {number} " + "word " * (number % 40) for number in range(1, 400)]))
    evil = map_texts(sample(outcome=_HOSTILE), lambda _: _HOSTILE)
    (folder / "evil-report.html").write_text(
        render(evil, excerpt=excerpt, links=(), reproduce=_HOSTILE, errors=group([(3, _HOSTILE)]))
    )
    (folder / "evil-log.html").write_text(_log([_HOSTILE] * 50, title=_HOSTILE))
    bad = out.parent / "evil"
    facts = job(7) | dict.fromkeys(("name", "project", "ref"), _HOSTILE) | {"url": f"javascript:{_HOSTILE}"}
    error_facts = {"line": 3, "text": _HOSTILE}
    made = document("evil", job=facts, outcome="build_failed", first_error=error_facts)
    run_folder(bad, made)
    (bad / "<script>window.evil=1<" / "x").mkdir(parents=True)
    (bad / "<script>window.evil=1<" / "telemetry.json").write_text("[")
    update(bad)
    return folder


def _log(lines: list[str], *, title: str = "app 1") -> str:
    window = Window(1, len(lines), Weight.ORDINARY)
    known = log_page.Log(
        title=title, lines=len(lines) + 5, size_bytes=1 << 20, phases=(PhaseStart("build", 0, 2),), errors=_ERRORS
    )
    return log_page.render(known, ((number, line, window) for number, line in enumerate(lines, 1)))


_KINDS = ("out/index.html", "report.html", "failed.html", "log.html")


@pytest.mark.parametrize("name", _KINDS)
def test_a_page_fits_every_width_in_light_and_dark_and_says_nothing_wrong(name: str, tab: Tab, pages: Path) -> None:
    for dark in (False, True):
        for width in _WIDTHS:
            tab.show(width, dark=dark)
            tab.open(pages / name)
            assert tab.value("document.documentElement.scrollWidth") <= width
            assert tab.complaints() == []
        back = tab.value("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, back.removeprefix("rgb(").removesuffix(")").split(","))) < 200) == dark


@pytest.mark.parametrize("name", _KINDS)
def test_axe_finds_no_fault_of_accessibility(name: str, tab: Tab, axe: str, pages: Path) -> None:
    for width, dark in ((360, True), (1440, False)):
        tab.show(width, dark=dark)
        tab.open(pages / name)
        tab.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        tab.value(f"{axe}; 0")
        found = tab.value("axe.run(document, {resultTypes: ['violations']}).then((done) => done.violations)")
        assert [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found] == []


def _shown(tab: Tab) -> int:
    return int(tab.value("[...document.querySelectorAll('#builds tbody tr')].filter((row) => row.offsetHeight > 0).length"))


def _first(tab: Tab) -> str:
    return str(tab.value("document.querySelector('#builds tbody tr:not([hidden]) th').textContent"))


def test_without_script_all_rows_are_there_and_outcomes_can_be_chosen(tab: Tab, pages: Path) -> None:
    tab.show(1000, script=False)
    tab.open(pages / "out" / "index.html")
    assert _shown(tab) == 30
    assert tab.value("document.getElementById('find').offsetHeight") == 0
    assert tab.value("document.querySelectorAll('#builds button').length") == 0
    tab.value("document.getElementById('show-all').focus()")
    tab.press("ArrowRight")
    assert tab.value("document.activeElement.id") == "show-bad"
    assert _shown(tab) == 4
    tab.open(pages / "log.html", fragment="#L7")
    assert tab.value("document.getElementById('find').offsetHeight") == 0
    assert tab.value("scrollY > 0 || document.getElementById('L7').getBoundingClientRect().top < innerHeight") is True
    tab.show(1000)


def test_by_keyboard_alone_builds_are_found_and_sorted(tab: Tab, pages: Path) -> None:
    tab.show(1200)
    tab.open(pages / "out" / "index.html")
    for _ in range(60):
        tab.press("Tab")
        if tab.value("document.activeElement.id") == "words":
            break
    tab.type("petsc")
    assert tab.value("document.getElementById('count').textContent") == "2 of 30 match"
    assert _shown(tab) == 2
    for _ in range(4):  # the region that scrolls, then the heads: outcome, package, wall time
        tab.press("Tab")
    assert tab.value("document.activeElement.textContent") == "Wall time"
    assert tab.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
    values = "[...document.querySelectorAll('#builds tbody tr:not([hidden])')].map((row) => Number(row.cells[2].dataset.v))"
    tab.press("Enter", text="\r")
    down = tab.value(values)
    tab.press("Enter", text="\r")
    assert down == sorted(down, reverse=True)
    assert tab.value(values) == sorted(down)
    assert tab.value("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"


def test_by_keyboard_alone_a_log_is_searched(tab: Tab, pages: Path) -> None:
    tab.show(900)
    tab.open(pages / "log.html")
    tab.value("document.getElementById('words').focus()")
    tab.type("line 10")
    count = "document.getElementById('count').textContent"
    wait = f"new Promise((done) => {{ const look = () => ({count} ? done({count}) : setTimeout(look, 20)); look(); }})"
    assert tab.value(wait) == "1 of 11"
    tab.press("Enter", text="\r")
    assert str(tab.value(count)).startswith("2 of ")
    tab.press("Enter", text="\r", shift=True)
    assert str(tab.value(count)).startswith("1 of ")
    assert tab.value("document.querySelector('li.at').id") == "L10"


@pytest.mark.parametrize("name", ["evil-report.html", "evil-log.html", "evil/index.html"])
@pytest.mark.parametrize("script", [True, False])
def test_foreign_texts_run_nothing_and_ask_for_nothing(name: str, script: bool, tab: Tab, pages: Path) -> None:  # noqa: FBT001
    tab.show(360, script=script)
    tab.open(pages / name)
    assert tab.value("typeof window.evil") == "undefined"
    assert tab.value("document.querySelectorAll('img').length") == 0
    assert tab.value("[...document.links].filter((link) => !/^(file|https):/.test(link.href)).length") == 0
    assert tab.value("document.documentElement.scrollWidth") <= 360
    assert tab.complaints() == []
    tab.show(360)


def test_a_page_of_5000_builds_shows_within_a_second_of_computing(tab: Tab, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    entries = [msgspec.structs.replace(read_entry(encoded(made), place="x"), has_page=True) for made in many(5000)]
    page.write_text(index_page.render(collected(entries, []), []))
    assert page.stat().st_size < 5_000_000
    tab.show(1440)
    tab.open(page)
    tab.value("document.body.offsetHeight")
    assert tab.cpu_seconds() < 1.0
    assert _shown(tab) == 5000
