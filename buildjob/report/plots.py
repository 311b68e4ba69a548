"""Draws the pictures of the page: phases, memory and CPU over one time axis, as inline SVG without any script.

Every picture stretches to the page's width while its text keeps its size: horizontal positions are percentages, and the line
lies in an inner viewport that may be distorted, although its stroke may not. Pure: values in, markup out.
"""

import enum
import itertools
import math
from collections.abc import Callable, Sequence

import msgspec

from buildjob.report import axes, markup
from buildjob.report.axes import Axis
from buildjob.report.foreign_text import cut
from buildjob.report.format import format_seconds
from buildjob.report.markup import Html, element, join
from buildjob.telemetry import MemoryKill, Phase

_POINTS = 500
_READOUTS = 100
_KILLS = 10
_BARS = 14
_BAR_HEIGHT = 26
_PLOT_HEIGHT = 150
_INNER_WIDTH, _INNER_HEIGHT = 1000, 100


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A horizontal line across a plot: a limit, or what was asked for."""

    label: str
    value: float
    kind: str
    """limit or asked: its color."""


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure over time."""

    kind: str
    """memory or cpu: its color."""
    title: str
    """What is drawn, with the unit; read aloud with `summary` in place of the picture."""
    summary: str
    points: Sequence[tuple[float, float]]
    """Seconds since the start, value."""
    scale: Callable[[float], Axis]
    """The axis for a highest value."""
    write: Callable[[float], str]
    """A value with its unit."""
    hole_seconds: float = math.inf
    """Points further apart than this are not joined: between them the figure is not known."""
    rules: tuple[Rule, ...] = ()


class Side(enum.StrEnum):
    """On which side of its point a text stands, as SVG's `text-anchor`."""

    RIGHT = "start"
    LEFT = "end"


def draw_plot(plot: Plot, *, time: Axis, phases: Sequence[Phase], kills: Sequence[MemoryKill]) -> Html:
    """Return the picture of one plot. Without points the plot is empty."""
    pieces = axes.thin_pieces(plot.points, span_seconds=time.top, buckets=_POINTS, hole_seconds=plot.hole_seconds)
    points = list(itertools.chain.from_iterable(pieces))
    highest = max((value for _, value in points), default=0.0)
    hidden = hidden_rules(plot)
    shown = [rule for rule in plot.rules if rule not in hidden]
    axis = plot.scale(max([highest, *(rule.value for rule in shown)]))
    return element(
        "svg",
        element("title", plot.title),
        element("desc", " ".join([plot.summary, *(f"{rule.label}: above this scale." for rule in hidden)])),
        _grid(axis, time=time, phases=phases, write=plot.write),
        _line_and_area(pieces, kind=plot.kind, axis=axis, time=time),
        *(_rule(rule, axis=axis, side=side) for rule, side in zip(shown, (Side.RIGHT, Side.LEFT), strict=False)),
        _peak(points, kind=plot.kind, axis=axis, time=time),
        *(_kill(kill, time=time) for kill in kills[:_KILLS]),
        *_readouts(points, axis=axis, time=time, write=plot.write),
        role="img",
        class_="plot",
        height=_PLOT_HEIGHT,
    )


def hidden_rules(plot: Plot) -> list[Rule]:
    """Return the rules that are not drawn: they lie so far above the line that they would flatten it."""
    highest = max((value for _, value in plot.points), default=0.0)
    return [rule for rule in plot.rules if rule.value > 4 * highest]


def timeline(phases: Sequence[Phase], *, time: Axis, kills: Sequence[MemoryKill]) -> Html:
    """Return the phases as bars, one below the other, in order of time; only the longest if there are too many."""
    kept = sorted(
        sorted(phases, key=lambda phase: -axes.clamp(phase.wall_seconds))[:_BARS],
        key=lambda phase: axes.clamp(phase.start_seconds),
    )
    description = ", ".join(
        f"{phase.name} {format_seconds(phase.wall_seconds)} from {format_seconds(phase.start_seconds)}" for phase in kept
    )
    return element(
        "svg",
        element("title", "Phases of the build over time"),
        element("desc", markup.text(description, limit=1000)),
        *(_vertical(time.share(tick), class_="grid") for tick in time.ticks),
        *(_bar(phase, row=row, time=time) for row, phase in enumerate(kept)),
        *(_kill(kill, time=time) for kill in kills[:_KILLS]),
        role="img",
        class_="plot timeline",
        height=_BAR_HEIGHT * len(kept) + 4,
    )


def time_scale(time: Axis) -> Html:
    """Return the numbers of the time axis, which stand once, below the last picture."""
    ticks = (
        element(
            "text", axes.format_clock(tick, span_seconds=time.top), x=_percent(time.share(tick)), y=12, text_anchor="middle"
        )
        for tick in time.ticks
    )
    return element("svg", *ticks, class_="plot scale", height=16, aria_hidden="true")


def _grid(axis: Axis, *, time: Axis, phases: Sequence[Phase], write: Callable[[float], str]) -> Html:
    pieces = [_vertical(time.share(tick), class_="grid") for tick in time.ticks]
    pieces += [_vertical(time.share(phase.start_seconds), class_="phase") for phase in phases[:_BARS]]
    for tick in axis.ticks:
        y = _percent(100 - axis.share(tick))
        pieces.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid" if tick else "base"))
        pieces.append(element("text", write(tick) if tick else "0", x="0", y=y, dx="-8", dy="0.32em", text_anchor="end"))
    return join(*pieces)


def _line_and_area(pieces: Sequence[Sequence[tuple[float, float]]], *, kind: str, axis: Axis, time: Axis) -> Html:
    """Draw the line and the area below it, piece by piece, in a viewport of their own that the page stretches."""
    if not pieces:
        return Html()
    line = area = ""
    for points in pieces:
        corners = [
            f"{markup.format_number(time.share(at) * _INNER_WIDTH / 100)} "
            f"{markup.format_number((100 - axis.share(value)) * _INNER_HEIGHT / 100)}"
            for at, value in points
        ]
        first, last = corners[0].split()[0], corners[-1].split()[0]
        piece = "M" + "L".join(corners if len(corners) > 1 else corners * 2)
        line, area = line + piece, f"{area}{piece}L{last} {_INNER_HEIGHT}L{first} {_INNER_HEIGHT}Z"
    return element(
        "svg",
        markup.path(area, class_=f"area {kind}"),
        markup.path(line, class_=f"line {kind}"),
        viewBox=f"0 0 {_INNER_WIDTH} {_INNER_HEIGHT}",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
    )


def _rule(rule: Rule, *, axis: Axis, side: Side) -> Html:
    y = _percent(100 - axis.share(rule.value))
    x, dx = ("0", "6") if side is Side.RIGHT else ("100%", "-4")
    return element(
        "g",
        element("line", x1="0", x2="100%", y1=y, y2=y),
        element("text", rule.label, x=x, y=y, dx=dx, dy="-5", text_anchor=side),
        class_=f"rule-{rule.kind}",
    )


def _peak(points: Sequence[tuple[float, float]], *, kind: str, axis: Axis, time: Axis) -> Html:
    if not points:
        return Html()
    at, value = max(points, key=lambda point: point[1])
    return element(
        "circle", cx=_percent(time.share(at)), cy=_percent(100 - axis.share(value)), r="3.5", class_=f"peak {kind}"
    )


def _kill(kill: MemoryKill, *, time: Axis) -> Html:
    x = _percent(time.share(kill.at_seconds))
    process = cut(kill.process or "process unknown", limit=80)
    title = f"Killed for memory after {format_seconds(axes.clamp(kill.at_seconds))}: {process}"
    cross = (element("line", x1=x, x2=x, y1=0, y2="100%"), element("text", "✕", x=x, y=12, text_anchor="middle"))
    return element("g", element("title", title), *cross, class_="kill")


def _bar(phase: Phase, *, row: int, time: Axis) -> Html:
    """Draw a phase; its text is where there is most room: in the bar, after it or before it."""
    start = time.share(phase.start_seconds)
    end = time.share(axes.clamp(phase.start_seconds) + axes.clamp(phase.wall_seconds))
    room = {"in": end - start, "behind": 100 - end, "before": start}
    place = max(room, key=lambda where: room[where])
    x, dx, side = {"in": (start, "8", Side.RIGHT), "behind": (end, "6", Side.RIGHT), "before": (start, "-6", Side.LEFT)}[
        place
    ]
    y = row * _BAR_HEIGHT + 4
    return element(
        "g",
        element("rect", x=_percent(start), y=y, width=_percent(max(end - start, 0.15)), height=_BAR_HEIGHT - 6, rx="3"),
        element(
            "text",
            element("tspan", cut(phase.name, limit=24), class_="name"),
            f" {format_seconds(axes.clamp(phase.wall_seconds))}",
            x=_percent(x),
            y=y + 14,
            dx=dx,
            text_anchor=side,
        ),
        class_="bar",
    )


def _readouts(points: Sequence[tuple[float, float]], *, axis: Axis, time: Axis, write: Callable[[float], str]) -> list[Html]:
    """Return strips across the plot that show time and value while the pointer is over them."""
    coarse = axes.thin(points, span_seconds=time.top, buckets=_READOUTS)
    if len(coarse) < 2:
        return []
    centers = [time.share(at) for at, _ in coarse]
    edges = [0.0, *(sum(pair) / 2 for pair in itertools.pairwise(centers)), 100.0]
    strips = []
    for (at, value), center, (left, right) in zip(coarse, centers, itertools.pairwise(edges), strict=True):
        x, y = _percent(center), _percent(100 - axis.share(value))
        readout = f"{axes.format_clock(at, span_seconds=time.top)} · {write(value)}"
        side, dx = (Side.RIGHT, "8") if center < 50 else (Side.LEFT, "-8")
        strips.append(
            element(
                "g",
                element("rect", x=_percent(left), y="0", width=_percent(right - left), height="100%"),
                element("line", x1=x, x2=x, y1="0", y2="100%"),
                element("circle", cx=x, cy=y, r="3"),
                element("text", readout, x=x, y="12", dx=dx, text_anchor=side),
                class_="at",
            )
        )
    return strips


def _vertical(share: float, *, class_: str) -> Html:
    x = _percent(share)
    return element("line", x1=x, x2=x, y1="0", y2="100%", class_=class_)


def _percent(share: float) -> str:
    return f"{markup.format_number(share)}%"
