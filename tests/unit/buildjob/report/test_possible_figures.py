"""Whatever a document holds, no figure that is shown of it is impossible: page, terminal table, explanation and CDash."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from buildjob.outcome import Outcome
from buildjob.report.cdash import package_build
from buildjob.report.cdash_names import CDashNames
from buildjob.report.clamp import clamp_document
from buildjob.report.explain import explain
from buildjob.report.limits import read_limits
from buildjob.report.page import render
from buildjob.report.phase_rows import phase_rows
from buildjob.report.terminal import overview, table
from buildjob.run_folder import RunResult
from buildjob.telemetry import Asked, Machine, MemoryKill, Phase, Samples, Telemetry, TopProcess, Totals
from ctest_xml.timeline import costs, sample_commands
from tests.labs.html_reader import Node, read_html
from tests.labs.telemetry_samples import GIB, MIB, change, sample

_NO_LIMIT = 9223372036854771712  # cgroup v1's
_BYTES = st.one_of(st.none(), st.sampled_from([-1, 0, 1, 400 * MIB, _NO_LIMIT, 1 << 70]), st.integers(-5, 64 * GIB))
_SECONDS = st.one_of(
    st.sampled_from([0.0, 0.004, 0.01, -1.0, 1e-9, math.nan, math.inf, -math.inf, 1e300]), st.floats(0, 5000)
)
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": GIB, "TiB": 1 << 40, "PiB": 1 << 50, "EiB": 1 << 60}


def _some(value: st.SearchStrategy[Any], most: int = 6) -> st.SearchStrategy[list[Any]]:
    return st.lists(value, max_size=most)


def _phases() -> st.SearchStrategy[list[Phase]]:
    names = st.sampled_from(["spack-start", "stage", "build", "install", "spack-end", "command"])
    one = st.builds(
        Phase,
        name=names,
        start_seconds=_SECONDS,
        wall_seconds=_SECONDS,
        cpu_seconds=st.none() | _SECONDS,
        memory_working_set_peak_bytes=_BYTES,
    )
    return st.one_of(_some(one), _some(one, most=60))


_DOCUMENTS = st.builds(
    sample,
    complete=st.booleans(),
    outcome=st.sampled_from([*Outcome]),
    exit_code=st.integers(0, 300),
    spec=st.builds(change, st.just(sample().spec), build_jobs=st.sampled_from([0, 1, 2, 16, -3])),
    asked=st.one_of(
        st.just(msgspec.UNSET),
        st.builds(Asked, cpu_millicores=st.none() | st.integers(-5, 99_000), memory_bytes=_BYTES, memory_limit_bytes=_BYTES),
    ),
    machine=st.builds(
        Machine,
        cpus=st.sampled_from([0, 1, 2, 64, -1]),
        memory_bytes=st.sampled_from([0, 24 * GIB, -1]),
        memory_limit_bytes=_BYTES,
        cpu_limit_cores=st.none() | st.sampled_from([0.0, -1.0, 0.5, 4.0, math.inf, math.nan]),
    ),
    totals=st.builds(
        Totals,
        wall_seconds=_SECONDS,
        cpu_seconds=_SECONDS,
        memory_working_set_peak_bytes=_BYTES,
        memory_anonymous_peak_bytes=_BYTES,
        memory_swap_peak_bytes=_BYTES,
        memory_peak_bytes=_BYTES,
        memory_is_estimate=st.booleans(),
        cpu_throttled_seconds=st.none() | _SECONDS,
        memory_pressure_seconds=st.none() | _SECONDS,
        read_bytes=_BYTES,
        written_bytes=_BYTES,
        disk_peak_bytes=_BYTES,
        process_peak=st.none() | st.integers(-3, 9000),
    ),
    phases=_phases(),
    samples=st.builds(
        Samples,
        time_seconds=_some(_SECONDS),
        memory_bytes=_some(st.none() | st.integers(-5, 1 << 70)),
        cpu_cores=_some(st.none() | _SECONDS),
        holes=st.integers(-1, 9),
        hole_seconds=_SECONDS,
    ),
    top_processes=_some(
        st.builds(
            TopProcess,
            command=st.sampled_from(["cc1plus a.cc", "/usr/bin/cc1plus b.cc", "ld"]),
            memory_peak_bytes=st.integers(-5, 1 << 70),
            cpu_seconds=_SECONDS,
        )
    ),
    memory_kills=_some(
        st.builds(
            MemoryKill,
            process=st.none() | st.sampled_from(["cc1plus", "ld"]),
            inferred=st.booleans(),
            limit_bytes=_BYTES,
            at_seconds=_SECONDS,
        ),
        most=2,
    ),
)


def _words(node: Node) -> list[str]:
    """Return the texts of a page's elements that hold figures, one for each."""
    return [found.text() for tag in ("td", "small", "b", "li", "p", "span", "text", "desc", "dd") for found in node.all(tag)]


def _check(texts: Sequence[str], document: Telemetry) -> None:
    """Assert that no text holds a figure that cannot be: of any kind, or beyond the document's machine."""
    clamped, limits = clamp_document(document), read_limits(clamp_document(document))
    for text in texts:
        assert not re.search(r"(?<![\w.])-\d", text), f"negative: {text}"
        assert not re.search(r"\b(nan|inf|None)\b", text), text
        assert "EiB" not in text.replace("1 EiB", "") or clamped.machine.memory_bytes <= 0, text
        assert not re.search(r"(?<![\d.])0 B (limit|asked|peak)|limit of 0 B", text), text
        for percent in re.findall(r"([\d.]+) %", text):
            assert float(percent) <= 100, text
        if limits.cores is not None:
            for cores in re.findall(r"([\d.]+) cores? on average", text):
                assert float(cores) <= limits.cores + 0.005, text
        if clamped.machine.cpus > 0:
            for cores in re.findall(r"highest sample ([\d.]+) core", text):
                assert float(cores) <= clamped.machine.cpus, text
    if clamped.machine.memory_bytes > 0:
        for text in texts:
            for number, unit in re.findall(r"([\d.]+) ([KMGTPE]?i?B) peak (?:working|\()", text):
                assert float(number) * _SIZES[unit] <= clamped.machine.memory_bytes * 1.005, text


def _result(document: Telemetry) -> RunResult:
    return RunResult(folder=Path("/nowhere"), telemetry=document, command="x", is_root=True)


@settings(deadline=None, max_examples=30)
@given(_DOCUMENTS)
@example(sample(machine=Machine(cpus=2, memory_bytes=GIB, memory_limit_bytes=_NO_LIMIT), asked=msgspec.UNSET))
def test_no_figure_of_any_document_is_impossible(document: Telemetry) -> None:
    explanation = explain(document)
    page = read_html(render(document, excerpt=None, links=(), reproduce=""))
    shown = table(document, color=False, width=120)
    _check([explanation.detail, *explanation.advice, *_words(page), *shown.splitlines()], document)
    _check(overview([document], color=False, width=120).splitlines(), document)


@settings(deadline=None, max_examples=60)
@given(_DOCUMENTS)
def test_shares_of_phases_add_up_to_100_percent_or_are_left_out(document: Telemetry) -> None:
    clamped = clamp_document(document)
    for most in (3, 40):
        rows = phase_rows(clamped, most=most)
        shares = [row.share for row in rows]
        if any(shares):
            assert all(shares)
            tenths = [0 if share.startswith("<") else round(float(share.split()[0]) * 10) for share in shares]
            assert sum(tenths) == 1000
            assert sum(row.wall_seconds for row in rows) == pytest.approx(clamped.totals.wall_seconds, rel=0.001)
        for row in rows:
            assert row.wall_seconds >= 0
            assert row.cores is None or row.wall_seconds >= 1
            if clamped.machine.cpus > 0:
                assert (row.cores or 0) <= clamped.machine.cpus * (1 + 1e-9)
                assert (row.cpu_seconds or 0) <= row.wall_seconds * clamped.machine.cpus * (1 + 1e-9)


@settings(deadline=None, max_examples=40)
@given(_DOCUMENTS)
def test_cdash_gets_no_impossible_figure(document: Telemetry) -> None:
    build = package_build(_result(document), CDashNames(site="s", group="g"))
    assert build.end_seconds >= build.start_seconds
    for phase in build.phases:
        assert phase.wall_seconds >= 0
        values = {measurement.name: float(str(measurement.value)) for measurement in costs(phase)}
        assert all(math.isfinite(value) and value >= 0 for value in values.values())
        if document.machine.cpus > 0:
            assert values.get("CPUPercent", 0) <= 100 * document.machine.cpus * (1 + 1e-9)
    for command in sample_commands(build.samples, end_seconds=build.end_seconds):
        assert command.duration_seconds >= 0


@pytest.mark.parametrize(
    ("walls", "shares"),
    [
        ([61.0, 26.0, 7.0, 4.0, 2.0], ["61.0 %", "26.0 %", "7.0 %", "4.0 %", "2.0 %"]),
        ([1.0, 1.0, 1.0], ["33.4 %", "33.3 %", "33.3 %"]),
        ([0.0, 100.0], ["0 %", "100.0 %"]),
        ([0.01, 99.99], ["< 0.1 %", "100.0 %"]),
        ([1.0] * 7, ["14.3 %"] * 6 + ["14.2 %"]),
    ],
)
def test_what_rounding_leaves_over_goes_to_who_lost_most(walls: list[float], shares: list[str]) -> None:
    phases, at = [], 0.0
    for wall in walls:
        phases.append(Phase(name="p", start_seconds=at, wall_seconds=wall))
        at += wall
    document = sample(phases=phases, totals=change(sample().totals, wall_seconds=at))
    assert sorted(row.share for row in phase_rows(document, most=40)) == sorted(shares)


def test_the_time_outside_of_all_phases_is_a_row_of_its_own() -> None:
    """A document from before Spack's own start had a name."""
    phases = [phase for phase in sample().phases if phase.name in {"configure", "build", "install"}]
    rows = phase_rows(sample(phases=phases), most=40)
    assert [(row.name, row.share) for row in rows] == [
        ("configure", "25.6 %"),
        ("build", "62.4 %"),
        ("install", "8.0 %"),
        ("outside of phases", "4.0 %"),
    ]


def test_phases_that_take_longer_than_the_run_are_cut_to_it() -> None:
    phases = [
        Phase(name="a", start_seconds=5.0, wall_seconds=3.0, cpu_seconds=1.0),
        Phase(name="b", start_seconds=1.0, wall_seconds=9.0, cpu_seconds=900.0),
        Phase(name="c", start_seconds=99.0, wall_seconds=9.0),
    ]
    totals = change(sample().totals, wall_seconds=10.0, cpu_seconds=15.0)
    found = clamp_document(sample(phases=phases, totals=totals, machine=Machine(cpus=2, memory_bytes=GIB))).phases
    assert [(phase.start_seconds, phase.wall_seconds, phase.cpu_seconds) for phase in found] == [
        (5.0, 3.0, 1.0),
        (8.0, 2.0, 4.0),
        (10.0, 0.0, None),
    ]


def test_a_phase_of_an_instant_has_no_cores() -> None:
    """`75 cores` stood here: CPU time by one clock over wall time by another."""
    phases = [
        Phase(name="edit", start_seconds=0.0, wall_seconds=0.004, cpu_seconds=0.3),
        Phase(name="build", start_seconds=0.004, wall_seconds=0.9, cpu_seconds=1.7),
        Phase(name="install", start_seconds=0.904, wall_seconds=1.1, cpu_seconds=2.2),
    ]
    totals = Totals(wall_seconds=2.004, cpu_seconds=4.0)
    text = table(sample(phases=phases, totals=totals, machine=Machine(cpus=2, memory_bytes=GIB)), color=False, width=80)
    rows = [line.split() for line in text.split("\n\n")[1].splitlines()]
    assert rows[1] == ["edit", "<", "0.01", "s", "0.01", "s", "-", "-"]
    assert rows[2] == ["build", "0.90", "s", "1.70", "s", "-", "-"]
    assert rows[3] == ["install", "1.10", "s", "2.20", "s", "2", "-"]


@pytest.mark.parametrize(
    ("limit", "peak", "text"),
    [
        (400 * MIB, 336 * MIB, "336 MiB peak working set, 84 % of 400 MiB limit"),
        (400 * MIB, 401 * MIB, "400 MiB peak working set, 100 % of 400 MiB limit"),  # what the kernel could not refuse
        (400 * MIB, 600 * MIB, "600 MiB peak working set"),  # the limit was raised meanwhile
        (_NO_LIMIT, 600 * MIB, "600 MiB peak working set"),
        (-1, 600 * MIB, "600 MiB peak working set"),
        (0, 600 * MIB, "600 MiB peak working set"),
        (1 << 50, 600 * MIB, "600 MiB peak working set"),
    ],
)
def test_a_peak_stands_against_a_limit_that_held(limit: int, peak: int, text: str) -> None:
    for name in ("machine", "asked"):
        document = sample(
            machine=Machine(cpus=2, memory_bytes=24 * GIB, memory_limit_bytes=limit if name == "machine" else None),
            asked=Asked(memory_limit_bytes=limit if name == "asked" else None),
            totals=Totals(wall_seconds=9.0, cpu_seconds=4.0, memory_working_set_peak_bytes=peak),
        )
        assert f"  memory  {text}\n" in table(document, color=False, width=120)


@pytest.mark.parametrize(("holes", "least"), [(0, ""), (1, "at least ")])
def test_a_peak_with_a_hole_beside_it_is_a_lower_bound_and_no_reason_to_ask_for_less(holes: int, least: str) -> None:
    document = sample(
        samples=Samples(interval_seconds=1.0, holes=holes, hole_seconds=8.8 * holes),
        machine=Machine(cpus=2, memory_bytes=24 * GIB),
        asked=Asked(memory_bytes=GIB),
        totals=Totals(wall_seconds=12.0, cpu_seconds=4.0, memory_working_set_peak_bytes=10 * MIB),
        memory_kills=[],
        outcome="built",
    )
    assert f"  memory  {least}10 MiB peak working set" in table(document, color=False, width=120)
    assert any("would do" in advice for advice in explain(document).advice) == (not holes)
    assert ("at least: not read for 8.80 s" in render(document, excerpt=None, links=(), reproduce="")) == bool(holes)


@pytest.mark.parametrize("swap", [None, 0, 300 * MIB])
def test_swap_stands_beside_the_peak_and_is_a_reason_not_to_ask_for_less(swap: int | None) -> None:
    document = sample(
        machine=Machine(cpus=2, memory_bytes=24 * GIB),
        asked=Asked(memory_bytes=GIB),
        totals=Totals(
            wall_seconds=12.0, cpu_seconds=4.0, memory_working_set_peak_bytes=10 * MIB, memory_swap_peak_bytes=swap
        ),
        memory_kills=[],
        outcome="built",
    )
    page, terminal = render(document, excerpt=None, links=(), reproduce=""), table(document, color=False, width=120)
    assert ("and up to 300 MiB in swap space" in terminal) == bool(swap)
    assert ("and up to 300 MiB in swap space" in page) == bool(swap)
    assert ("Swapped out, peak" in page) == bool(swap)
    assert any("would do" in advice for advice in explain(document).advice) == (not swap)


def test_an_estimate_beyond_the_limit_is_the_limit() -> None:
    totals = Totals(wall_seconds=9.0, memory_working_set_peak_bytes=900 * MIB, memory_is_estimate=True)
    document = sample(machine=Machine(cpus=2, memory_bytes=GIB, memory_limit_bytes=400 * MIB), totals=totals)
    assert "400 MiB peak (estimate" in table(document, color=False, width=120)


def test_more_than_was_asked_for_is_so_many_times_as_much() -> None:
    asked = Asked(memory_bytes=256 * MIB)
    machine = Machine(cpus=2, memory_bytes=24 * GIB)
    assert "1.68 times the 256 MiB asked" in table(sample(asked=asked, machine=machine), color=False, width=120)
    page = render(sample(asked=asked, machine=machine), excerpt=None, links=(), reproduce="")
    assert "1.68 times the 256 MiB asked for" in page


def test_a_quota_of_more_than_the_machine_is_none() -> None:
    limits = read_limits(sample(machine=Machine(cpus=2, memory_bytes=GIB, cpu_limit_cores=8.0)))
    assert (limits.cores, limits.has_cpu_limit) == (2.0, False)


def test_a_second_with_one_period_of_a_quota_too_many_is_at_the_quota() -> None:
    machine = Machine(cpus=4, memory_bytes=GIB, cpu_limit_cores=0.5)
    samples = Samples(time_seconds=[1.0, 2.0, 3.0], cpu_cores=[0.55, 0.4, 3.0])
    totals = Totals(wall_seconds=3.0, cpu_seconds=1.4)
    assert clamp_document(sample(machine=machine, samples=samples, totals=totals)).samples.cpu_cores == [0.5, 0.4, 3.0]


def test_a_machine_that_is_not_known_is_not_shown() -> None:
    """The driver's documents have 0 for what it does not know."""
    document = sample(machine=Machine(cpus=0, memory_bytes=0), asked=msgspec.UNSET)
    text = table(document, color=False, width=120) + render(document, excerpt=None, links=(), reproduce="")
    assert "0 B" not in text
    assert "0 cores" not in text
    assert "in the machine" not in text


def test_what_was_not_run_took_no_time_but_not_0_seconds() -> None:
    document = sample(outcome="already_there", totals=Totals(), phases=[], samples=Samples())
    page = read_html(render(document, excerpt=None, links=(), reproduce="")).one("main").text()
    assert "measured" not in page
    for text in (table(document, color=False, width=80), overview([document], color=False, width=80), page):
        assert not re.search(r"\b0 s", text)
