"""The page's section over time: phases, memory and CPU as pictures on one time axis, and the memory kills below them.

Pure, from a telemetry document with clamped numbers. Chooses what is drawn and with which captions; `plots` draws.
"""

import math
from collections.abc import Sequence

from buildjob.report import axes, markup, plots
from buildjob.report.format import format_bytes, format_core_number, format_cores, format_seconds
from buildjob.report.limits import limit_bytes, read_limits
from buildjob.report.markup import Html, element, join
from buildjob.report.plots import Plot, Rule
from buildjob.telemetry import MemoryKill, Samples, Telemetry, hole_after

_KILLS = 10
_COMMAND = 240


def over_time(telemetry: Telemetry) -> Html:
    """Return the pictures, one below the other on one time axis; nothing if there is neither a sample nor a phase."""
    phases, samples, kills = telemetry.phases, telemetry.samples, telemetry.memory_kills
    moments = [telemetry.totals.wall_seconds, *samples.time_seconds, *(kill.at_seconds for kill in kills)]
    time = axes.time_axis(max([*moments, *(phase.start_seconds + phase.wall_seconds for phase in phases)]))
    pictures = []
    if phases:
        pictures.append(_picture(element("b", "Phases"), plots.timeline(phases, time=time, kills=kills)))
    drawn = [plot for plot in (_memory_plot(telemetry), _cpu_plot(telemetry)) if plot.points]
    pictures += [_picture(_caption(plot), plots.draw_plot(plot, time=time, phases=phases, kills=kills)) for plot in drawn]
    if not pictures:
        return Html()
    unit = f"time since the start, {axes.clock_unit(time.top)}"
    scale = element("div", plots.time_scale(time), element("p", unit, class_="unit"), class_="picture numbers")
    silent = "" if samples.time_seconds else element("p", "No samples were taken, so there are no curves.", class_="note")
    return element("section", element("h2", "Over time"), *pictures, scale, silent, _kills(kills), class_="time")


def _memory_plot(telemetry: Telemetry) -> Plot:
    samples, limits = telemetry.samples, read_limits(telemetry)
    points = [(row.time_seconds, float(row.memory_bytes)) for row in samples.rows() if row.memory_bytes is not None]
    rules = []
    if limits.memory_limit_bytes:
        rules.append(
            Rule(label=f"limit {format_bytes(limits.memory_limit_bytes)}", value=limits.memory_limit_bytes, kind="limit")
        )
    if limits.memory_asked_bytes and limits.memory_asked_bytes != limits.memory_limit_bytes:
        rules.append(
            Rule(label=f"asked {format_bytes(limits.memory_asked_bytes)}", value=limits.memory_asked_bytes, kind="asked")
        )
    at, peak = max(points, key=lambda point: point[1], default=(0.0, 0.0))
    estimate = ", estimate" if telemetry.totals.memory_is_estimate else ""
    unknown = f", not known for {format_seconds(samples.hole_seconds)}" if samples.holes > 0 else ""
    return Plot(
        kind="memory",
        title=f"Memory: working set{estimate}",
        summary=f"highest sample {format_bytes(int(peak))} after {format_seconds(at)}{unknown}",
        points=points,
        hole_seconds=_hole_seconds(samples),
        scale=axes.byte_axis,
        write=lambda value: format_bytes(int(value)),
        rules=tuple(rules),
    )


def _cpu_plot(telemetry: Telemetry) -> Plot:
    samples, limits = telemetry.samples, read_limits(telemetry)
    points = [(row.time_seconds, row.cpu_cores) for row in samples.rows() if row.cpu_cores is not None]
    rules = []
    if limits.has_cpu_limit and limits.cores is not None:
        rules.append(Rule(label=f"limit {format_cores(limits.cores)}", value=limits.cores, kind="limit"))
    if limits.cores_asked and limits.cores_asked != (limits.cores if limits.has_cpu_limit else None):
        rules.append(Rule(label=f"asked {format_cores(limits.cores_asked)}", value=limits.cores_asked, kind="asked"))
    at, peak = max(points, key=lambda point: point[1], default=(0.0, 0.0))
    return Plot(
        kind="cpu",
        title="CPU: cores in use",
        summary=f"highest sample {format_cores(peak)} after {format_seconds(at)}",
        points=points,
        hole_seconds=_hole_seconds(samples),
        scale=axes.core_axis,
        write=_write_cores,
        rules=tuple(rules),
    )


def _hole_seconds(samples: Samples) -> float:
    """Return the distance of two points beyond which there is a hole; a document without a sensible interval has none."""
    return hole_after(samples.interval_seconds) if samples.interval_seconds > 0 else math.inf


def _write_cores(cores: float) -> str:
    """Return a number of cores without its unit; halves, as the axis has them, with one digit."""
    return f"{cores:.1f}".removesuffix(".0") if cores * 2 == int(cores * 2) else format_core_number(cores)


def _caption(plot: Plot) -> Html:
    name, _, unit = plot.title.partition(": ")
    hidden = [
        join(" · ", element("span", f"{rule.label}, above this scale", class_=rule.kind))
        for rule in plots.hidden_rules(plot)
    ]
    return join(element("b", name), f" {unit}", element("span", plot.summary, *hidden, class_="aside"))


def _picture(caption: Html, picture: Html) -> Html:
    return element("figure", element("figcaption", caption), picture, class_="picture")


def _kills(kills: Sequence[MemoryKill]) -> Html:
    if not kills:
        return Html()
    items = []
    for kill in kills[:_KILLS]:
        who = (
            element("code", markup.text(kill.process, limit=_COMMAND))
            if kill.process is not None
            else "a process that no sample saw"
        )
        why = " (inferred from the last sample: the kernel's counter names no process)" if kill.inferred else ""
        size = limit_bytes(kill.limit_bytes)
        limit = f", at the limit of {format_bytes(size)}" if size else ""
        items.append(
            element(
                "li", element("b", "✕ "), f"Killed for memory after {format_seconds(kill.at_seconds)}{limit}: ", who, why
            )
        )
    if len(kills) > _KILLS:
        items.append(element("li", f"and {len(kills) - _KILLS:,} more"))
    return element("ul", *items, class_="kills")
