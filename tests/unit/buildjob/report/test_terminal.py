"""The table on the terminal: aligned, plain ASCII, harmless whatever names and logs hold."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.report.foreign_text import count_cells
from buildjob.report.link import Link
from buildjob.report.terminal import brief, closing, is_trivial, one_line, overview, table
from buildjob.telemetry import FirstError, Machine, MemoryKill, Phase, Telemetry
from tests.labs.telemetry_samples import GIB, change, map_texts, sample

_SGR = re.compile(r"\x1b\[[\d;]*m")


def _table(telemetry: Telemetry, *, width: int = 80, links: tuple[Link, ...] = ()) -> str:
    return table(telemetry, color=False, width=width, links=links)


def _block(text: str, number: int) -> list[str]:
    """Return one of the blocks that empty lines part, as lines."""
    return text.rstrip("\n").split("\n\n")[number].split("\n")


def test_the_table_of_a_good_build() -> None:
    links = (Link(label="report", url="/builds/x/report.html"), Link(label="log", url="/builds/x/build.log"))
    assert _table(sample(), links=links) == (
        "ncurses@6.5 /h6t3q2l: Built in 2 min 31 s\n"
        "  The binary is in the build cache.\n"
        "\n"
        "  phase              wall         CPU  cores  peak memory\n"
        "  spack-start      2.90 s      2.60 s   0.90       84 MiB\n"
        "  stage            1.22 s      0.83 s   0.68     92.5 MiB\n"
        "  configure        38.6 s      27.9 s   0.72      118 MiB\n"
        "  build        1 min 34 s  3 min 31 s   2.24      431 MiB\n"
        "  install          12.0 s      9.86 s   0.82      236 MiB\n"
        "  spack-end        1.91 s      1.10 s   0.58      220 MiB\n"
        "  total        2 min 31 s  4 min 14 s   1.68      431 MiB\n"
        "\n"
        "  memory  431 MiB peak working set, 84 % of 512 MiB asked, 21 % of 2 GiB limit\n"
        "          1.31 GiB kernel's high-water mark, counts page cache\n"
        "  cores   1.68 on average; 4 cores allowed, 2 cores asked for\n"
        "  disk    488 MiB of 4 GiB asked for\n"
        "\n"
        "  report  /builds/x/report.html\n"
        "  log     /builds/x/build.log\n"
    )


def test_a_bad_build_says_what_to_do_and_where_its_first_error_is() -> None:
    error = FirstError(line=1847, text="\x1b[31ma.c:1: error:\x1b[0m bad", phase="build")
    assert _block(_table(sample(outcome="build_failed", first_error=error)), 0) == [
        "ncurses@6.5 /h6t3q2l: Build failed after 2 min 31 s",
        "  The first error is in the build phase, line 1,847 of build.log.",
        "  -> Begin with that first error: later ones often only follow from it.",
        "  first error: build.log:1847: a.c:1: error: bad",
    ]


def test_a_success_is_one_line_where_lines_are_dear() -> None:
    assert is_trivial(sample())
    assert one_line(sample(), page="/x/report\nhtml") == (
        r"ncurses@6.5 /h6t3q2l: Built in 2 min 31 s, peak 431 MiB, published; /x/report\nhtml"
    )


def test_a_failure_ends_with_its_reason_and_the_command_that_does_the_same_again() -> None:
    error = FirstError(line=1847, text="\x1b[31ma.c:1: error:\x1b[0m bad", phase="build")
    bad = sample(outcome="build_failed", first_error=error)
    assert not is_trivial(bad)
    links = (Link(label="log", url="/x/build.log"),)
    assert brief(bad, color=False, width=80, links=links, command="spack-farm build x").splitlines() == [
        "  log  /x/build.log",
        *_block(_table(bad), 0),
        "  help: spack-farm build x",
    ]


def test_several_failures_are_repeated_at_the_end() -> None:
    error = FirstError(line=1847, text="a.c:1: error: bad", phase="build")
    bad = sample(outcome="build_failed", first_error=error)
    failed = [(bad, "spack-farm build x"), (sample(outcome="memory_killed"), ""), *[(bad, "")] * 3]
    assert closing(failed, color=False, width=80).splitlines() == [
        "ncurses@6.5 /h6t3q2l: Build failed",
        "  first error: build.log:1847: a.c:1: error: bad",
        "  help: spack-farm build x",
        "ncurses@6.5 /h6t3q2l: Killed for memory",
        "ncurses@6.5 /h6t3q2l: Build failed",
        "  first error: build.log:1847: a.c:1: error: bad",
        "and 2 more, in the table above",
    ]
    assert closing([], color=False, width=80) == ""


def test_an_outcome_that_needs_no_sentence_has_its_headline_alone() -> None:
    assert _block(_table(sample(outcome="script_succeeded")), 0) == ["ncurses@6.5 /h6t3q2l: Script succeeded in 2 min 31 s"]


def test_terminal_sequences_in_names_are_dropped() -> None:
    spec = change(sample().spec, name="\x1b[31mred\x1b[0m", hash="")
    assert table(sample(spec=spec), color=True, width=80).startswith("red@6.5: \x1b[1;32mBuilt\x1b[0m")


def test_what_was_not_measured_is_a_dash_or_left_out() -> None:
    totals = change(
        sample().totals,
        memory_working_set_peak_bytes=None,
        memory_peak_bytes=None,
        disk_peak_bytes=None,
        wall_seconds=0.0,
    )
    document = sample(
        spec=change(sample().spec, hash=""),
        totals=totals,
        phases=[Phase(name="edit", start_seconds=0, wall_seconds=0)],
        machine=Machine(cpus=4, memory_bytes=GIB),
    )
    text = _table(document)
    assert _block(text, 0)[0] == "ncurses@6.5: Built"
    assert _block(text, 1) == [
        "  phase  wall  CPU  cores  peak memory",
        "  edit    0 s    -      -            -",
        "  total     -    -      -            -",
    ]
    assert _block(text, 2) == ["  memory  could not be measured"]


def test_estimates_and_upper_bounds_are_called_so() -> None:
    totals = change(sample().totals, memory_is_estimate=True, memory_peak_is_upper_bound=True)
    memory = _block(_table(sample(totals=totals), width=120), 2)
    assert memory[0].startswith("  memory  431 MiB peak (estimate: sum over processes), 84 %")
    assert memory[1] == "          1.31 GiB kernel's high-water mark, counts page cache, an upper bound"


def test_cores_without_a_limit_are_the_machine_s() -> None:
    text = _table(sample(machine=Machine(cpus=16, memory_bytes=GIB), asked=msgspec.UNSET))
    assert "  cores   1.68 on average; 16 cores in the machine\n" in text


def test_of_very_many_phases_the_rest_is_counted() -> None:
    phases = [Phase(name=f"p{number}", start_seconds=number, wall_seconds=1.0) for number in range(45)]
    lines = _block(_table(sample(phases=phases, totals=change(sample().totals, wall_seconds=45.0))), 1)
    assert len(lines) == 1 + 40 + 1 + 1
    assert [line.split()[0] for line in lines[39:43]] == ["p38", "p39", "and", "total"]
    assert lines[41].split("  ")[1] == "and 5 more"
    assert "5.00 s" in lines[41]


@pytest.mark.parametrize(("width", "allowed"), [(10, 60), (60, 60), (80, 80), (120, 120), (500, 120)])
def test_lines_are_as_wide_as_the_terminal_but_for_places(width: int, allowed: int) -> None:
    kill = MemoryKill(process="c " * 100, inferred=True, limit_bytes=GIB, at_seconds=1.0)
    phases = [Phase(name="a-very-long-name-of-a-phase" * 5, start_seconds=0, wall_seconds=5000.0, cpu_seconds=90000.0)]
    document = sample(outcome="memory_killed", memory_kills=[kill], phases=phases)
    url = "https://example.org/" + "x" * 300
    text = _table(document, width=width, links=(Link(label="binary", url=url),))
    lines = text.splitlines()
    assert lines[-1] == f"  binary  {url}"
    assert max(len(line) for line in lines[:-1]) <= allowed
    assert any("..." in line for line in lines[:-1])


def test_color_adds_nothing_but_color() -> None:
    for document in (sample(), sample(outcome="memory_killed"), sample(outcome="publish_failed"), sample(complete=False)):
        colored = table(document, color=True, width=80)
        assert _SGR.sub("", colored) == table(document, color=False, width=80)
        assert colored != table(document, color=False, width=80)


@pytest.mark.parametrize(
    ("outcome", "code"), [("built", "1;32"), ("build_failed", "1;31"), ("interrupted", "1;33"), ("evaporated", "1")]
)
def test_the_outcome_has_the_color_of_its_tone(outcome: str, code: str) -> None:
    first = table(sample(outcome=outcome), color=True, width=80).split("\n", 1)[0]
    assert f": \x1b[{code}m" in first
    assert "\x1b[0m" in first


def test_unicode_is_kept_only_where_the_terminal_has_it() -> None:
    document = sample(spec=change(sample().spec, name="größe"))
    assert table(document, color=False, width=80).startswith("gr\\xf6\\xdfe@6.5")
    assert table(document, color=False, width=80, unicode=True).startswith("größe@6.5")


def test_wide_characters_are_aligned_by_their_cells() -> None:
    phases = [change(phase, name=name) for phase, name in zip(sample().phases, ("東京", "e\u0301", "abcd"), strict=False)]
    lines = _block(table(sample(phases=phases), color=False, width=80, unicode=True), 1)
    assert len({count_cells(line) for line in lines}) == 1


@given(st.text(st.characters(), max_size=200), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=50)
def test_any_text_in_any_field_is_harmless(foreign: str, unicode: bool, color: bool) -> None:  # noqa: FBT001
    document = map_texts(sample(first_error=FirstError(line=1, text="x")), lambda _: foreign)
    links = (Link(label=foreign, url=foreign),)
    text = table(document, color=color, width=80, unicode=unicode, links=links)
    text += overview([document, document], color=color, width=80, unicode=unicode)
    text.encode("utf-8")
    plain = _SGR.sub("", text) if color else text
    assert plain.replace("\n", "").isprintable()
    assert unicode or text.isascii()


def test_an_overview_has_a_line_for_each_run() -> None:
    runs = [
        sample(),
        sample(outcome="memory_killed", spec=change(sample().spec, name="a-package-with-a-long-name" * 3)),
        sample(
            spec=change(sample().spec, name="make", hash=""),
            totals=change(sample().totals, memory_working_set_peak_bytes=None),
        ),
    ]
    assert overview(runs, color=False, width=80) == (
        "package         hash      outcome                  wall         CPU  peak memory\n"
        "ncurses@6.5     /h6t3q2l  Built              2 min 31 s  4 min 14 s      431 MiB\n"
        "a-package-w...  /h6t3q2l  Killed for memory  2 min 31 s  4 min 14 s      431 MiB\n"
        "make@6.5                  Built              2 min 31 s  4 min 14 s            -\n"
    )


def test_an_overview_of_nothing_is_nothing() -> None:
    assert overview([], color=True, width=80) == ""


def test_an_overview_paints_outcomes_only() -> None:
    colored = overview([sample(), sample(outcome="build_failed")], color=True, width=80)
    assert _SGR.findall(colored) == ["\x1b[2m", "\x1b[0m", "\x1b[1;32m", "\x1b[0m", "\x1b[1;31m", "\x1b[0m"]
    assert _SGR.sub("", colored) == overview([sample(), sample(outcome="build_failed")], color=False, width=80)
