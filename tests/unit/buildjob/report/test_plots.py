"""The pictures: coordinates are finite and inside, whatever the series; what matters is marked."""

import math
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.report import axes, plots
from buildjob.report.plots import Plot, Rule
from buildjob.telemetry import MemoryKill, Phase
from tests.labs.html_reader import Node, read_html

ANY_NUMBER = st.one_of(st.floats(), st.integers(), st.sampled_from([0.0, 1.0, 1e308, 10**400]))
_NUMBERS = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "d"}


def _plot(points: list[tuple[float, float]], rules: tuple[Rule, ...] = ()) -> Plot:
    return Plot(
        kind="memory",
        title="Memory: used",
        summary="in short",
        points=points,
        scale=axes.byte_axis,
        write=lambda _: "?",
        rules=rules,
    )


def _drawn(points: list[tuple[float, float]], *, rules: tuple[Rule, ...] = (), kills: tuple[MemoryKill, ...] = ()) -> Node:
    return read_html(plots.draw_plot(_plot(points, rules), time=axes.time_axis(100), phases=[], kills=kills)).all(
        "svg", "plot"
    )[0]


def _coordinates(node: Node) -> list[float]:
    found = []
    for inner in node.walk():
        for name, value in inner.attributes.items():
            if name in _NUMBERS:
                numbers = re.split(r"[ MLZ%]+", value)
                found += [float(number) for number in numbers if number]
    return found


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.0, 0.0)],
        [(50.0, 7e9)],
        [(float(at), 0.0) for at in range(100)],
        [(float(at), 4e9) for at in range(100)],
        [(5.0, 1.0)] * 100,
        [(0.0, 1e300), (1e300, 1e-300)],
        [(math.nan, math.inf), (-math.inf, -1.0), (math.inf, math.nan)],
        [(float(at), float(at % 7)) for at in range(100_000)],
    ],
)
def test_degenerate_series_give_a_picture(points: list[tuple[float, float]]) -> None:
    picture = _drawn(points)
    numbers = _coordinates(picture)
    assert all(math.isfinite(number) and -1 <= number <= 1000 for number in numbers)
    assert len(picture.all("path")) == (2 if points else 0)


@given(
    st.lists(st.tuples(ANY_NUMBER, ANY_NUMBER), max_size=20),
    st.lists(st.tuples(st.floats(), st.floats()), max_size=5),
    st.floats(),
)
@settings(deadline=None)
def test_any_series_phases_and_kills_give_finite_coordinates(
    points: list[tuple[float, float]], phases: list[tuple[float, float]], at: float
) -> None:
    known = [Phase(name="p", start_seconds=start, wall_seconds=wall) for start, wall in phases]
    kills = [MemoryKill(process=None, inferred=False, limit_bytes=None, at_seconds=at)]
    rules = (Rule(label="limit", value=at, kind="limit"),)
    for markup in (
        plots.draw_plot(_plot(points, rules), time=axes.time_axis(at), phases=known, kills=kills),
        plots.timeline(known, time=axes.time_axis(at), kills=kills),
        plots.time_scale(axes.time_axis(at)),
    ):
        assert all(math.isfinite(number) for number in _coordinates(read_html(markup)))


def test_the_curve_goes_through_its_points() -> None:
    picture = _drawn([(0.0, 0.0), (50.0, float(4 << 20)), (100.0, float(1 << 20))])
    assert picture.one("path", "line").attributes["d"] == "M0 100L500 13.04L1000 78.26"
    assert picture.one("path", "area").attributes["d"] == "M0 100L500 13.04L1000 78.26L1000 100L0 100Z"
    peak = picture.one("circle", "peak").attributes
    assert (peak["cx"], peak["cy"]) == ("50%", "13.04%")


def test_where_the_figure_is_not_known_the_curve_has_a_gap() -> None:
    plot = msgspec.structs.replace(_plot([(0.0, 0.0), (1.0, 0.0), (40.0, 0.0), (41.0, 0.0), (90.0, 0.0)]), hole_seconds=3)
    picture = read_html(plots.draw_plot(plot, time=axes.time_axis(100), phases=[], kills=[]))
    assert picture.one("path", "line").attributes["d"] == "M0 100L10 100M400 100L410 100M900 100L900 100"
    assert picture.one("path", "area").attributes["d"].count("Z") == 3


def test_a_single_point_is_a_line_without_length_that_a_round_cap_shows() -> None:
    assert _drawn([(50.0, 0.0)]).one("path", "line").attributes["d"] == "M500 100L500 100"


def test_a_limit_near_the_curve_is_drawn_and_one_far_above_is_named_instead() -> None:
    rules = (
        Rule(label="asked 2 MiB", value=2 << 20, kind="asked"),
        Rule(label="limit 99 MiB", value=99 << 20, kind="limit"),
    )
    plot = _plot([(0.0, 1.0 * (1 << 20)), (9.0, 2.0 * (1 << 20))], rules)
    picture = read_html(plots.draw_plot(plot, time=axes.time_axis(100), phases=[], kills=[]))
    assert picture.one("g", "rule-asked").text() == "asked 2 MiB"
    assert picture.all("g", "rule-limit") == []
    assert "limit 99 MiB: above this scale" in picture.one("desc").text()
    assert [rule.label for rule in plots.hidden_rules(plot)] == ["limit 99 MiB"]


def test_a_limit_of_four_times_the_peak_still_has_its_line() -> None:
    at_most = _plot([(0.0, 1.0)], (Rule(label="limit", value=4.0, kind="limit"),))
    beyond = _plot([(0.0, 1.0)], (Rule(label="limit", value=4.01, kind="limit"),))
    assert (len(plots.hidden_rules(at_most)), len(plots.hidden_rules(beyond))) == (0, 1)


def test_memory_kills_are_marked_at_their_time() -> None:
    kill = MemoryKill(process="cc1plus", inferred=True, limit_bytes=1, at_seconds=25.0)
    mark = _drawn([(0.0, 1.0)], kills=(kill,)).one("g", "kill")
    assert mark.one("line").attributes["x1"] == "25%"
    assert mark.one("title").text() == "Killed for memory after 25.0 s: cc1plus"


def test_a_picture_has_a_title_and_a_description_and_is_announced_as_one() -> None:
    picture = _drawn([(0.0, 1.0), (1.0, 2.0)])
    assert picture.attributes["role"] == "img"
    assert [child.tag for child in picture.children[:2] if isinstance(child, Node)] == ["title", "desc"]


def test_the_readout_strips_cover_the_plot_without_gaps() -> None:
    strips = [strip.one("rect").attributes for strip in _drawn([(10.0, 1.0), (20.0, 2.0), (80.0, 3.0)]).all("g", "at")]
    assert [(strip["x"], strip["width"]) for strip in strips] == [("0%", "15%"), ("15%", "35%"), ("50%", "50%")]


@pytest.mark.parametrize(
    ("start", "wall", "anchor", "x"),
    [
        (0.0, 80.0, "start", "0%"),  # in the bar
        (0.0, 20.0, "start", "20%"),  # behind it
        (80.0, 20.0, "end", "80%"),  # before it
    ],
)
def test_the_words_of_a_phase_stand_where_there_is_room(start: float, wall: float, anchor: str, x: str) -> None:
    phases = [Phase(name="build", start_seconds=start, wall_seconds=wall)]
    bar = read_html(plots.timeline(phases, time=axes.time_axis(100), kills=[])).one("g", "bar")
    words = bar.one("text")
    assert (words.attributes["text-anchor"], words.attributes["x"]) == (anchor, x)
    assert words.text().startswith("build ")
    assert bar.one("rect").attributes["width"] == f"{wall:.0f}%"


def test_of_very_many_phases_the_longest_are_drawn_in_order_of_time() -> None:
    phases = [
        Phase(name=f"p{number}", start_seconds=float(number), wall_seconds=float(number % 50)) for number in range(100)
    ]
    picture = read_html(plots.timeline(phases, time=axes.time_axis(100), kills=[]))
    names = [int(name.text()[1:]) for name in picture.all("tspan", "name")]
    assert names == [43, 44, 45, 46, 47, 48, 49, 93, 94, 95, 96, 97, 98, 99]
