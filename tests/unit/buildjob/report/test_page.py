"""The report page: what it says for each kind of run, on its own, whatever the document holds."""

import functools
import math
import re

import msgspec
import pytest

from buildjob.outcome import Outcome
from buildjob.report.link import Link
from buildjob.report.log_excerpt import LogExcerpt
from buildjob.report.page import MOST_BYTES, render
from buildjob.telemetry import (
    FailedDependency,
    FirstError,
    Machine,
    MemoryKill,
    PackageSpec,
    Phase,
    Telemetry,
    Totals,
    Versions,
)
from tests.labs.html_reader import Node, read_html
from tests.labs.telemetry_samples import GIB, MIB, change, map_texts, sample

_EXCERPT = LogExcerpt(
    first_line=41,
    lines=["cc -c a.c", "\x1b[31ma.c:1: error:\x1b[0m bad", "make: *** [a.o] Error 1"],
    error_line=42,
)
_BARE = Telemetry(
    complete=True,
    started_at="2026-01-01T00:00:00Z",
    ended_at="2026-01-01T00:00:04Z",
    outcome="built",
    exit_code=0,
    spec=PackageSpec(name="make-all", version="1"),
    machine=Machine(cpus=4, memory_bytes=8 * GIB),
    totals=Totals(wall_seconds=3.9, cpu_seconds=3.1),
    versions=Versions(spack_farm="0.1.0", python="3.11.7"),
)


def _page(
    telemetry: Telemetry, *, excerpt: LogExcerpt | None = None, links: tuple[Link, ...] = (), reproduce: str = ""
) -> Node:
    return read_html(render(telemetry, excerpt=excerpt, links=links, reproduce=reproduce))


def _same(word: str, _: str) -> str:
    return word


def _sections(page: Node) -> list[str]:
    return [heading.text() for heading in page.all("h2")]


def _section(page: Node, title: str) -> Node:
    return next(section for section in page.all("section") if section.all("h2") and section.one("h2").text() == title)


def _rows(section: Node) -> list[list[str]]:
    return [[cell.text() for cell in row.walk() if cell.tag in {"th", "td"}] for row in section.all("tr")]


def _tile(page: Node, name: str) -> list[str]:
    """Return a key figure and its notes."""
    tile = next(tile for tile in page.all("div", "tile") if tile.one("dt").text() == name)
    return [part.text() for part in tile.walk() if part.tag in {"b", "small"}]


def test_the_page_stands_alone() -> None:
    text = render(sample(), excerpt=_EXCERPT, links=(), reproduce="true")
    page = read_html(text)
    assert text.startswith("<!DOCTYPE html>\n<html ")
    tags = {node.tag for node in page.walk()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use", "foreignobject"}
    assert all(not name.startswith("on") for node in page.walk() for name in node.attributes)
    assert {node.attributes["href"] for node in page.all("a")} >= {"build.log", "telemetry.json"}
    style = page.one("style").text()
    assert "url(" not in style
    assert "@import" not in style
    assert len(text.encode()) < 120_000


def test_the_policy_forbids_all_but_inline_style() -> None:
    policy = next(
        meta for meta in _page(_BARE).all("meta") if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.attributes["content"].split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_style_knows_dark_narrow_and_paper() -> None:
    style = _page(_BARE).one("style").text()
    for query in ("(prefers-color-scheme: dark)", "(max-width: 620px)", "print"):
        assert f"@media {query} {{" in style


def test_the_page_is_made_for_screen_readers() -> None:
    page = _page(sample(), excerpt=_EXCERPT)
    assert page.one("html").attributes["lang"] == "en"
    assert len(page.all("h1")) == 1
    for table in page.all("table"):
        if table.attributes.get("class") != "excerpt":
            assert table.one("caption").text()
            assert all(cell.attributes["scope"] == "col" for cell in table.one("thead").all("th"))
        assert all(row.all("th")[0].attributes["scope"] == "row" for row in table.one("tbody").all("tr"))
    pictures = [svg for svg in page.all("svg") if svg.attributes.get("role") == "img"]
    starts = [[child.tag for child in picture.children if isinstance(child, Node)][:2] for picture in pictures]
    assert starts == [["title", "desc"]] * 3
    assert all(svg.attributes["aria-hidden"] == "true" for svg in page.all("svg", "meter"))


def test_a_good_build_says_so_at_the_top() -> None:
    page = _page(sample())
    assert page.one("head").one("title").text() == "ncurses 6.5: Built"
    assert page.one("h1").text() == "ncurses 6.5 /h6t3q2l"
    assert page.one("h1").one("code").attributes["title"] == "h6t3q2lx5mvz7kbd4yw2oafc3ejnru6p"
    assert page.one("p", "subtitle").text() == "gcc@12.2.0 · linux-debian12-x86_64_v3 · 4 build jobs"
    explanation = page.one("div", "explanation")
    assert explanation.attributes["class"] == "explanation good"
    assert explanation.one("p", "headline").text() == "Built in 2 min 31 s"
    assert "The binary is in the build cache." in explanation.text()
    assert explanation.all("ul") == []


def test_the_sections_follow_each_other_as_people_ask() -> None:
    common = ["Key figures", "Over time", "Phases", "Top processes", "Memory", "Reproduce", "Spec", "CI job", "Run"]
    assert _sections(_page(sample())) == common
    assert _sections(_page(sample(), excerpt=_EXCERPT)) == ["Log", *common]
    failed = sample(first_error=FirstError(line=42, text="bad"))
    assert _sections(_page(failed, excerpt=_EXCERPT)) == ["First error", *common]


def test_the_key_figures_stand_against_what_was_asked_and_the_limit() -> None:
    page = _page(sample())
    assert _tile(page, "Wall time") == ["2 min 31 s", "from 2025-11-24 09:14:02 UTC"]
    assert _tile(page, "CPU time") == ["4 min 14 s", "1.68 cores on average", "4 cores allowed", "throttled for 3.40 s"]
    assert _tile(page, "Memory, peak") == [
        "431 MiB",
        "21 % of the 2 GiB limit",
        "84 % of the 512 MiB asked for",
        "working set",
    ]
    assert page.one("div", "memory").one("rect").attributes["width"] == "21.05%"
    assert _tile(page, "Disk, peak") == ["488 MiB", "of 4 GiB asked for"]
    assert _tile(page, "Written") == ["612 MiB", "41 MiB read"]
    assert _tile(page, "Processes") == ["31", "at once, at most"]


def test_the_phases_have_a_row_each() -> None:
    rows = _rows(_section(_page(sample()), "Phases"))
    assert rows == [
        ["Phase", "Wall time", "Share", "CPU time", "Cores", "Memory, peak"],
        ["spack-start", "2.90 s", "1.9 %", "2.60 s", "0.90", "84 MiB"],
        ["stage", "1.22 s", "0.8 %", "0.83 s", "0.68", "92.5 MiB"],
        ["configure", "38.6 s", "25.6 %", "27.9 s", "0.72", "118 MiB"],
        ["build", "1 min 34 s", "62.4 %", "3 min 31 s", "2.24", "431 MiB"],
        ["install", "12.0 s", "8.0 %", "9.86 s", "0.82", "236 MiB"],
        ["spack-end", "1.91 s", "1.3 %", "1.10 s", "0.58", "220 MiB"],
    ]


def test_a_phase_that_was_not_measured_shows_dashes_and_no_zeros() -> None:
    rows = _rows(_section(_page(sample(phases=[Phase(name="edit", start_seconds=0, wall_seconds=0)])), "Phases"))
    assert rows[1] == ["edit", "0 s", "0 %", "–", "–", "–"]


def test_the_kernel_s_mark_stands_beside_the_working_set_with_its_caveat() -> None:
    rows = _rows(_section(_page(sample()), "Memory"))
    assert [row[:2] for row in rows[1:]] == [
        ["Working set, peakwhat Kubernetes evicts by", "431 MiB"],
        ["Anonymous, peakwhat cannot be given back", "372 MiB"],
        ["High-water markthe kernel's own; counts page cache, which can be given back", "1.31 GiB"],
        ["Asked forthe pod's request", "512 MiB"],
        ["Limitabove it the kernel kills", "2 GiB"],
    ]
    bars = _section(_page(sample()), "Memory").all("rect")
    assert [bar.attributes["width"] for bar in bars] == ["21.05%", "18.16%", "65.5%", "25%", "100%"]


def test_a_mark_that_was_set_before_the_build_is_called_an_upper_bound() -> None:
    totals = change(sample().totals, memory_peak_is_upper_bound=True)
    assert "set before this build began: an upper bound" in _section(_page(sample(totals=totals)), "Memory").text()


def test_without_a_control_group_the_figures_are_called_estimates() -> None:
    totals = change(sample().totals, memory_is_estimate=True, memory_peak_bytes=None)
    page = _page(sample(totals=totals, machine=Machine(cpus=16, memory_bytes=64 * GIB), asked=msgspec.UNSET))
    assert _tile(page, "Memory, peak") == ["431 MiB", "no limit; the machine has 64 GiB", "estimate: sum over processes"]
    assert "Estimates. No control group could be read" in _section(page, "Memory").text()
    assert "High-water mark" not in _section(page, "Memory").text()
    assert "working set, estimate" in _section(page, "Over time").text()
    assert "16 cores in the machine" in _tile(page, "CPU time")


def test_the_time_in_which_memory_was_short_is_named() -> None:
    totals = change(sample().totals, memory_pressure_seconds=4.5)
    waited = "Some process waited for memory during 4.50 s."
    assert waited in _section(_page(sample(totals=totals)), "Memory").text()
    calm = change(totals, memory_pressure_seconds=0.0)
    assert "waited for memory" not in _section(_page(sample(totals=calm)), "Memory").text()


def test_a_link_to_a_file_beside_the_page_is_one_only_for_a_plain_name() -> None:
    links = (
        Link(label="build log", url="build.log", is_beside=True),
        Link(label="password file", url="../../etc/passwd", is_beside=True),
    )
    header = _page(sample(), links=links).one("header")
    assert [anchor.attributes["href"] for anchor in header.all("a")] == ["build.log"]
    assert "password file ../../etc/passwd" in header.text()


def test_a_memory_killed_build_names_limit_peak_process_and_what_to_ask_for() -> None:
    document = sample(
        outcome="memory_killed",
        exit_code=137,
        memory_kills=[MemoryKill(process="/usr/lib/cc1plus -O2 a.cc", inferred=True, limit_bytes=2 * GIB, at_seconds=75.42)],
        totals=change(sample().totals, memory_working_set_peak_bytes=2040 * MIB),
    )
    page = _page(document)
    explanation = page.one("div", "explanation")
    assert explanation.attributes["class"] == "explanation bad"
    assert explanation.one("p", "headline").text() == "Killed for memory after 2 min 31 s"
    for words in ("the limit of 2 GiB", "probably 'cc1plus -O2 a.cc'", "1.99 GiB", "Ask for at least 4 GiB"):
        assert words in explanation.text()
    marks = page.all("g", "kill")
    assert [mark.one("line").attributes["x1"] for mark in marks] == ["50%"] * 3
    listed = _section(page, "Over time").one("ul", "kills").text()
    assert "after 1 min 15 s, at the limit of 2 GiB: /usr/lib/cc1plus -O2 a.cc (inferred" in listed


def test_a_kill_that_no_sample_saw_says_so() -> None:
    kill = MemoryKill(process=None, inferred=False, limit_bytes=None, at_seconds=1.0)
    listed = _section(_page(sample(memory_kills=[kill])), "Over time").one("ul", "kills").text()
    assert listed == "✕ Killed for memory after 1.00 s: a process that no sample saw"


def test_the_first_error_stands_with_numbered_lines_around_it() -> None:
    error = FirstError(line=42, text="\x1b[31ma.c:1: error:\x1b[0m bad", file="src/a.c:1", phase="build")
    section = _section(
        _page(sample(outcome="build_failed", exit_code=1, first_error=error), excerpt=_EXCERPT), "First error"
    )
    assert section.one("p", "message").text() == "a.c:1: error: bad"
    assert section.one("p", "where").text() == "line 42 of build.logphase buildfrom src/a.c:1"
    assert _rows(section.one("table", "excerpt")) == [
        ["41", "cc -c a.c"],
        ["42", "first error: a.c:1: error: bad"],
        ["43", "make: *** [a.o] Error 1"],
    ]
    assert section.one("tr", "hit").one("th").text() == "42"


def test_an_excerpt_without_an_error_is_the_end_of_the_log() -> None:
    page = _page(sample(), excerpt=LogExcerpt(first_line=7, lines=["Killed", "done"]))
    section = _section(page, "End of the log")
    assert section.all("tr", "hit") == []
    assert _rows(section) == [["7", "Killed"], ["8", "done"]]


def test_an_excerpt_that_was_cut_says_where_the_whole_log_is() -> None:
    note = "Some lines are cut or left out; build.log has them whole."
    cut = LogExcerpt(first_line=1, lines=["x"], error_line=1, truncated=True)
    assert note in _page(sample(), excerpt=cut).text()
    assert note not in _page(sample(), excerpt=_EXCERPT).text()


def test_a_long_excerpt_keeps_the_lines_next_to_the_error() -> None:
    lines = [f"{number} {'&' * 1990}" for number in range(1, 101)]
    page = _page(sample(), excerpt=LogExcerpt(first_line=1, lines=lines, error_line=50))
    numbers = [int(row.one("th").text()) for row in page.one("table", "excerpt").all("tr")]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert 4 <= len(numbers) < 20
    assert abs((numbers[0] + numbers[-1]) / 2 - 50) <= 1
    assert "left out" in page.text()


@pytest.mark.parametrize("error_line", [-5, 0, 40, 44, 10**400])
def test_an_error_line_outside_its_excerpt_marks_nothing(error_line: int) -> None:
    page = _page(sample(), excerpt=msgspec.structs.replace(_EXCERPT, error_line=error_line))
    assert page.all("tr", "hit") == []
    assert len(page.one("table", "excerpt").all("tr")) == 3


def test_an_excerpt_with_a_number_that_cannot_be_written_is_shown() -> None:
    page = _page(sample(), excerpt=msgspec.structs.replace(_EXCERPT, first_line=10**5000, error_line=None))
    assert len(page.one("table", "excerpt").all("tr")) == 3


def test_tabs_of_the_log_are_layout() -> None:
    page = _page(sample(), excerpt=LogExcerpt(first_line=1, lines=["	cc	x"]))
    assert page.one("table", "excerpt").one("td").text() == "        cc      x"


def test_an_unfinished_run_differs_from_a_finished_one() -> None:
    page = _page(sample(complete=False, outcome="interrupted", exit_code=143))
    explanation = page.one("div", "explanation")
    assert explanation.attributes["class"] == "explanation open"
    assert explanation.one("p", "headline").text() == "Not finished after 2 min 31 s"
    assert "the run counts as: Interrupted" in explanation.text()
    assert "Last written" in _section(page, "Run").text()
    assert "Exit code" not in _section(page, "Run").text()


def test_a_command_build_without_phases_samples_and_job_looks_right() -> None:
    page = _page(_BARE)
    assert page.one("h1").text() == "make-all 1"
    assert _sections(page) == ["Key figures", "Memory", "Run"]
    assert page.all("p", "subtitle") == []
    assert _tile(page, "Memory, peak") == ["–", "could not be measured"]
    assert _section(page, "Memory").text() == "MemoryMemory could not be measured here."
    assert page.all("svg", "plot") == []


def test_phases_without_samples_have_their_timeline_and_a_note() -> None:
    page = _page(msgspec.structs.replace(_BARE, phases=[Phase(name="build", start_seconds=1, wall_seconds=2)]))
    section = _section(page, "Over time")
    assert len(section.all("g", "bar")) == 1
    assert "No samples were taken, so there are no curves." in section.text()
    assert section.all("path") == []


def test_samples_without_phases_have_their_curves() -> None:
    section = _section(_page(sample(phases=[])), "Over time")
    assert [svg.one("title").text() for svg in section.all("svg", "plot") if svg.all("title")] == [
        "Memory: working set",
        "CPU: cores in use",
    ]


def test_curves_and_phases_share_one_time_axis() -> None:
    section = _section(_page(sample()), "Over time")
    bars = {bar.one("tspan").text(): bar.one("rect").attributes for bar in section.all("g", "bar")}
    lines = [line.attributes["x1"] for line in section.all("line", "phase")]
    assert lines == [bars[name]["x"] for name in (phase.name for phase in sample().phases)] * 2


def test_only_plain_http_urls_become_links() -> None:
    links = (
        Link(label="CDash", url="https://cdash.example.org/build/1"),
        Link(label="evil", url="javascript:alert(1)"),
        Link(label="log", url="/builds/group/x/build.log"),
    )
    job = change(sample().job, url="ftp://example.org/job", name="the job", commit_url="javascript:x", pipeline_url="data:,")
    page = _page(sample(job=job), links=links)
    assert [anchor.attributes["href"] for anchor in page.one("header").all("a")] == ["https://cdash.example.org/build/1"]
    assert page.one("ul", "links").text() == "CDashevil javascript:alert(1)log /builds/group/x/build.log"
    assert _section(page, "CI job").all("a") == []
    job = change(job, url="http://example.org/job")
    assert _section(_page(sample(job=job)), "CI job").one("a").attributes["href"] == "http://example.org/job"


def test_commands_can_be_copied_as_they_stand() -> None:
    commands = "git clone 'a & b' && cd x\n\nspack install <spec>"
    block = _section(_page(sample(), reproduce=f"{commands}\n"), "Reproduce").one("pre")
    assert block.text() == commands


def test_the_spec_s_variants_and_dependencies_are_written_as_spack_does() -> None:
    text = _section(_page(sample()), "Spec").text()
    assert "abi=none build_system=autotools patches=7a351bc4" in text
    assert "~symlinks +termlib" in text
    assert "gcc-runtime@12.2.0 glibc@2.36 gmake@4.4.1 pkgconf@2.5.1" in text


def test_an_outcome_that_is_not_known_is_quoted() -> None:
    explanation = _page(sample(outcome="evaporated", exit_code=9)).one("div", "explanation")
    assert explanation.attributes["class"] == "explanation open"
    assert "Outcome: evaporated" in explanation.text()
    assert "The exit code was 9." in explanation.text()


@pytest.mark.parametrize("outcome", [*Outcome, "script_succeeded", "script_failed"])
@pytest.mark.parametrize("complete", [True, False])
def test_every_outcome_has_its_page(outcome: str, complete: bool) -> None:  # noqa: FBT001 (a pytest parameter)
    for document in (sample(outcome=outcome, complete=complete), msgspec.structs.replace(_BARE, outcome=outcome)):
        assert _page(document).one("div", "explanation").one("strong").text()


def test_numbers_beyond_all_machines_leave_the_page_whole() -> None:
    for huge in (10**400, -(10**400)):
        totals = Totals(
            wall_seconds=math.inf,
            cpu_seconds=math.nan,
            memory_working_set_peak_bytes=huge,
            memory_anonymous_peak_bytes=huge,
            memory_peak_bytes=huge,
            disk_peak_bytes=huge,
            read_bytes=huge,
            written_bytes=huge,
            process_peak=huge,
        )
        kill = MemoryKill(process="x", inferred=True, limit_bytes=huge, at_seconds=math.inf)
        phase = Phase(
            name="p", start_seconds=math.nan, wall_seconds=math.inf, cpu_seconds=math.inf, memory_working_set_peak_bytes=huge
        )
        samples = change(
            sample().samples, time_seconds=[math.nan, math.inf], memory_bytes=[huge, huge], cpu_cores=[math.inf]
        )
        for outcome in Outcome:
            document = sample(outcome=outcome, totals=totals, memory_kills=[kill], phases=[phase], samples=samples)
            text = render(document, excerpt=None, links=(), reproduce="")
            read_html(text)
            assert not re.search(r"\b(nan|inf)\b|\de\+\d", read_html(text).one("main").text())


@pytest.mark.long
def test_the_largest_page_stays_below_its_bound() -> None:
    document = sample()
    for filling in ("&", '"', "\U000e0001"):
        word = filling * 10_000
        hostile = msgspec.structs.replace(
            map_texts(document, functools.partial(_same, word)),
            spec=PackageSpec(
                name=word,
                version=word,
                hash=word,
                architecture=word,
                compiler=word,
                variants={f"{word}{number}": [word] * 50 for number in range(500)},
                dependencies=[change(document.spec.dependencies[0], name=word, version=word, types=[word] * 9)] * 500,
            ),
            phases=[Phase(name=word, start_seconds=number / 1e3, wall_seconds=0.123) for number in range(1000)],
            top_processes=[change(document.top_processes[0], command=word)] * 1000,
            memory_kills=[
                MemoryKill(process=word, inferred=True, limit_bytes=1, at_seconds=number / 7) for number in range(1000)
            ],
            samples=change(
                document.samples,
                time_seconds=[number * 1.23 for number in range(20_000)],
                memory_bytes=[(number * 7919) % GIB for number in range(20_000)],
                cpu_cores=[number % 17 / 3 for number in range(20_000)],
            ),
            first_error=FirstError(line=100, text=word, file=word, phase=word),
            reproduce=change(
                document.reproduce,
                image_digest=word,
                spack_commit=word,
                packages_commit=word,
                concrete_spec=word,
                variables={f"{word}{number}": word for number in range(500)},
            ),
            failed_dependencies=[FailedDependency(name=word, version=word, hash=word, outcome=word)] * 500,
        )
        excerpt = LogExcerpt(first_line=1, lines=[word * 10] * 500, error_line=100, truncated=True)
        links = tuple(Link(label=word, url=f"https://example.org/{word}") for _ in range(500))
        text = render(hostile, excerpt=excerpt, links=links, reproduce=f"{word * 10}\n" * 100)
        assert len(text.encode()) < MOST_BYTES
        read_html(text)
