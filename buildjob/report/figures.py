"""The report's sections made of measured figures: tiles, pictures over time, phases, memory, processes.

Pure, from a telemetry document with tame numbers. A figure that could not be measured is absent or a dash, never a zero.
"""

import re
from collections.abc import Iterable, Sequence

from buildjob.report import axes, markup, plots
from buildjob.report.explain import mean_cores
from buildjob.report.format import format_bytes, format_cores, format_seconds, format_share
from buildjob.report.limits import Bounds, read_bounds
from buildjob.report.markup import Html, element, join
from buildjob.report.plots import Curve, Rule
from buildjob.telemetry import MemoryKill, Phase, Telemetry

_PHASES = 40
_PROCESSES = 12
_KILLS = 10
_NAME, _COMMAND = 60, 240
_ABSENT = "–"
_RFC_3339 = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")


def tiles(telemetry: Telemetry) -> Html:
    """Return the key figures."""
    totals, bounds = telemetry.totals, read_bounds(telemetry)
    shown = [
        _tile("Wall time", format_seconds(totals.wall_seconds), [_when(telemetry)]),
        _tile("CPU time", format_seconds(totals.cpu_seconds), _cpu_notes(telemetry, bounds), kind="cpu"),
        _memory_tile(telemetry, bounds),
    ]
    if totals.disk_peak_bytes is not None:
        asked = f"of {format_bytes(bounds.disk_asked_bytes)} asked for" if bounds.disk_asked_bytes else ""
        shown.append(_tile("Disk, peak", format_bytes(totals.disk_peak_bytes), [asked or "stage and prefix"]))
    if totals.written_bytes is not None:
        read = f"{format_bytes(totals.read_bytes)} read" if totals.read_bytes is not None else ""
        shown.append(_tile("Written", format_bytes(totals.written_bytes), [read]))
    if totals.process_peak is not None:
        shown.append(_tile("Processes", f"{totals.process_peak:,}", ["at once, at most"]))
    return element("section", element("h2", "Key figures", class_="silent"), element("dl", *shown, class_="tiles"))


def over_time(telemetry: Telemetry) -> Html:
    """Return the pictures, one below the other on one time axis; nothing if there is neither a sample nor a phase."""
    phases, samples, kills = telemetry.phases, telemetry.samples, telemetry.memory_kills
    moments = [telemetry.totals.wall_seconds, *samples.time_seconds, *(kill.at_seconds for kill in kills)]
    time = axes.time_axis(max([*moments, *(phase.start_seconds + phase.wall_seconds for phase in phases)]))
    pictures = []
    if phases:
        pictures.append(_picture(element("b", "Phases"), plots.timeline(phases, time=time, kills=kills)))
    if samples.time_seconds and samples.memory_bytes:
        curve = _memory_curve(telemetry)
        pictures.append(_picture(_caption(curve), plots.plot(curve, time=time, phases=phases, kills=kills)))
    if samples.time_seconds and samples.cpu_cores:
        curve = _cpu_curve(telemetry)
        pictures.append(_picture(_caption(curve), plots.plot(curve, time=time, phases=phases, kills=kills)))
    if not pictures:
        return Html()
    unit = f"time since the start, {axes.clock_unit(time.top)}"
    scale = element("div", plots.time_scale(time), element("p", unit, class_="unit"), class_="picture numbers")
    silent = "" if samples.time_seconds else element("p", "No samples were taken, so there are no curves.", class_="note")
    return element("section", element("h2", "Over time"), *pictures, scale, silent, _kills(kills), class_="time")


def details(telemetry: Telemetry) -> Html:
    """Return the tables: phases and processes on one side, memory on the other where the page is wide enough."""
    sides = [join(phase_table(telemetry), processes(telemetry)), memory_table(telemetry)]
    return element("div", *(element("div", side, class_="stack") for side in sides if side), class_="columns")


def phase_table(telemetry: Telemetry) -> Html:
    """Return the phases with their figures; for a build without phases, nothing."""
    phases = telemetry.phases
    if not phases:
        return Html()
    rows = [_phase_row(phase, wall_seconds=telemetry.totals.wall_seconds) for phase in phases[:_PHASES]]
    if len(phases) > _PHASES:
        rows.append(element("tr", element("td", f"and {len(phases) - _PHASES:,} more, in telemetry.json", colspan="6")))
    head = _head("Phase", "Wall time", "Share", "CPU time", "Cores", "Memory, peak")
    return _section("Phases", _table(head, rows, caption="Time, CPU and memory of each phase"), class_="phases")


def memory_table(telemetry: Telemetry) -> Html:
    """Return the three memories beside what was asked for and the limit, as bars of one scale."""
    totals, bounds = telemetry.totals, read_bounds(telemetry)
    mark = "the kernel's own; counts page cache, which can be given back"
    if totals.memory_peak_is_upper_bound:
        mark += "; set before this build began: an upper bound"
    figures = [
        ("Working set, peak", totals.memory_working_set_peak_bytes, "what Kubernetes evicts by", "memory"),
        ("Anonymous, peak", totals.memory_anonymous_peak_bytes, "what cannot be given back", "memory"),
        ("High-water mark", totals.memory_peak_bytes, mark, "faint"),
        ("Asked for", bounds.memory_asked_bytes, "the pod's request", "asked"),
        ("Limit", bounds.memory_limit_bytes, "above it the kernel kills", "limit"),
    ]
    known = [(name, size, note, kind) for name, size, note, kind in figures if size is not None]
    if not known:
        return _section("Memory", element("p", "Memory could not be measured here.", class_="note"))
    most = max(1, *(size for _, size, _, _ in known))
    rows = [
        element(
            "tr",
            element("th", name, element("small", note), scope="row"),
            element("td", format_bytes(size), class_="number"),
            element("td", _bar(size / most, kind=kind), class_="wide"),
        )
        for name, size, note, kind in known
    ]
    notes = [_estimate_note()] if totals.memory_is_estimate else []
    if totals.memory_pressure_seconds:
        waited = f"Some process waited for memory during {format_seconds(totals.memory_pressure_seconds)}."
        notes.append(element("p", waited, class_="note"))
    return _section(
        "Memory",
        _table(
            _head("Memory", "Size", element("span", "Compared", class_="silent")), rows, caption="Memory peaks and limits"
        ),
        *notes,
    )


def processes(telemetry: Telemetry) -> Html:
    """Return the processes that used most; nothing if none was seen."""
    top = telemetry.top_processes[:_PROCESSES]
    if not top:
        return Html()
    most = max(1, *(process.memory_peak_bytes for process in top))
    rows = [
        element(
            "tr",
            element("th", element("code", markup.text(process.command, limit=_COMMAND)), scope="row"),
            element(
                "td",
                format_bytes(process.memory_peak_bytes),
                _bar(process.memory_peak_bytes / most, kind="memory"),
                class_="number share",
            ),
            element("td", format_seconds(process.cpu_seconds), class_="number"),
        )
        for process in top
    ]
    head = _head("Command", "Memory, peak", "CPU time")
    return _section("Top processes", _table(head, rows, caption="The processes that used most"))


def _tile(name: str, value: str, notes: Iterable[str], *, kind: str = "", extra: str = "") -> Html:
    small = [element("small", note) for note in notes if note]
    return element(
        "div", element("dt", name), element("dd", element("b", value), extra, *small), class_=f"tile {kind}".strip()
    )


def _memory_tile(telemetry: Telemetry, bounds: Bounds) -> Html:
    totals = telemetry.totals
    peak = totals.memory_working_set_peak_bytes
    if peak is None:
        return _tile("Memory, peak", _ABSENT, ["could not be measured"], kind="memory")
    notes, bar = [], Html()
    given = bounds.memory_limit_bytes or bounds.memory_asked_bytes
    if given:
        bar = _bar(peak / given, kind="memory")
    if bounds.memory_limit_bytes:
        notes.append(
            f"{format_share(peak, bounds.memory_limit_bytes)} of the {format_bytes(bounds.memory_limit_bytes)} limit"
        )
    if bounds.memory_asked_bytes and bounds.memory_asked_bytes != bounds.memory_limit_bytes:
        notes.append(
            f"{format_share(peak, bounds.memory_asked_bytes)} of the {format_bytes(bounds.memory_asked_bytes)} asked for"
        )
    if not given:
        notes.append(f"no limit; the machine has {format_bytes(telemetry.machine.memory_bytes)}")
    notes.append("estimate: sum over processes" if totals.memory_is_estimate else "working set")
    return _tile("Memory, peak", format_bytes(peak), notes, kind="memory", extra=bar)


def _cpu_notes(telemetry: Telemetry, bounds: Bounds) -> list[str]:
    notes = []
    mean = mean_cores(telemetry)
    if mean is not None:
        notes.append(f"{format_cores(mean)} on average")
    notes.append(
        f"{format_cores(bounds.cores)} allowed" if bounds.cores_limited else f"{format_cores(bounds.cores)} in the machine"
    )
    if telemetry.totals.cpu_throttled_seconds:
        notes.append(f"throttled for {format_seconds(telemetry.totals.cpu_throttled_seconds)}")
    return notes


def _when(telemetry: Telemetry) -> str:
    """Return the start as people write it; what is no RFC 3339 time in UTC stays as it is."""
    start = _RFC_3339.sub(r"\1 \2 UTC", telemetry.started_at[:_NAME])
    return f"from {start}"


def _memory_curve(telemetry: Telemetry) -> Curve:
    samples, bounds = telemetry.samples, read_bounds(telemetry)
    points = [(row.time_seconds, float(row.memory_bytes)) for row in samples.rows() if row.memory_bytes is not None]
    rules = []
    if bounds.memory_limit_bytes:
        rules.append(
            Rule(label=f"limit {format_bytes(bounds.memory_limit_bytes)}", value=bounds.memory_limit_bytes, kind="limit")
        )
    if bounds.memory_asked_bytes and bounds.memory_asked_bytes != bounds.memory_limit_bytes:
        rules.append(
            Rule(label=f"asked {format_bytes(bounds.memory_asked_bytes)}", value=bounds.memory_asked_bytes, kind="asked")
        )
    at, peak = max(points, key=lambda point: point[1])
    estimate = ", estimate" if telemetry.totals.memory_is_estimate else ""
    return Curve(
        kind="memory",
        title=f"Memory: working set{estimate}",
        summary=f"highest sample {format_bytes(int(peak))} after {format_seconds(at)}",
        points=points,
        scale=axes.byte_axis,
        write=lambda value: format_bytes(int(value)),
        rules=tuple(rules),
    )


def _cpu_curve(telemetry: Telemetry) -> Curve:
    samples, bounds = telemetry.samples, read_bounds(telemetry)
    points = [(row.time_seconds, row.cpu_cores) for row in samples.rows() if row.cpu_cores is not None]
    rules = []
    if bounds.cores_limited:
        rules.append(Rule(label=f"limit {format_cores(bounds.cores)}", value=bounds.cores, kind="limit"))
    if bounds.cores_asked and bounds.cores_asked != (bounds.cores if bounds.cores_limited else None):
        rules.append(Rule(label=f"asked {format_cores(bounds.cores_asked)}", value=bounds.cores_asked, kind="asked"))
    at, peak = max(points, key=lambda point: point[1])
    return Curve(
        kind="cpu",
        title="CPU: cores in use",
        summary=f"highest sample {format_cores(peak)} after {format_seconds(at)}",
        points=points,
        scale=axes.core_axis,
        write=_write_cores,
        rules=tuple(rules),
    )


def _write_cores(cores: float) -> str:
    """Return cores without the word; halves, as the axis has them, with one digit."""
    return f"{cores:.1f}".removesuffix(".0") if cores * 2 == int(cores * 2) else format_cores(cores).split()[0]


def _caption(curve: Curve) -> Html:
    name, _, unit = curve.title.partition(": ")
    above = [
        join(" · ", element("span", f"{rule.label}, above this scale", class_=rule.kind)) for rule in plots.above(curve)
    ]
    return join(element("b", name), f" {unit}", element("span", curve.summary, *above, class_="aside"))


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
        why = " (concluded from the last sample: the kernel's counter names no process)" if kill.inferred else ""
        limit = f", at the limit of {format_bytes(kill.limit_bytes)}" if kill.limit_bytes is not None else ""
        items.append(
            element(
                "li", element("b", "✕ "), f"Killed for memory after {format_seconds(kill.at_seconds)}{limit}: ", who, why
            )
        )
    if len(kills) > _KILLS:
        items.append(element("li", f"and {len(kills) - _KILLS:,} more"))
    return element("ul", *items, class_="kills")


def _phase_row(phase: Phase, *, wall_seconds: float) -> Html:
    share = phase.wall_seconds / wall_seconds if wall_seconds > 0 else 0.0
    cpu = phase.cpu_seconds
    cores = format_cores(cpu / phase.wall_seconds).split()[0] if cpu is not None and phase.wall_seconds > 0 else _ABSENT
    peak = phase.memory_working_set_peak_bytes
    return element(
        "tr",
        element("th", markup.text(phase.name, limit=_NAME), scope="row"),
        element("td", format_seconds(phase.wall_seconds), class_="number"),
        element("td", format_share(phase.wall_seconds, wall_seconds), _bar(share, kind="faint"), class_="number share"),
        element("td", format_seconds(cpu) if cpu is not None else _ABSENT, class_="number"),
        element("td", cores, class_="number"),
        element("td", format_bytes(peak) if peak is not None else _ABSENT, class_="number"),
    )


def _section(title: str, *children: str, class_: str | None = None) -> Html:
    return element("section", element("h2", title), *children, class_=class_)


def _head(*names: str) -> Html:
    first, *others = names
    return element(
        "tr", element("th", first, scope="col"), *(element("th", name, scope="col", class_="number") for name in others)
    )


def _table(head: Html, rows: Sequence[Html], *, caption: str) -> Html:
    """Return a table that scrolls sideways by itself where the screen is too narrow for it."""
    parts = (element("caption", caption, class_="silent"), element("thead", head), element("tbody", *rows))
    return element("div", element("table", *parts), class_="scroll", role="region", aria_label=caption, tabindex="0")


def _bar(share: float, *, kind: str) -> Html:
    """Return a bar that fills `share` of its room; the figure beside it says the same in words."""
    width = f"{markup.format_number(100 * min(max(share, 0.0), 1.0))}%"
    rect = element("rect", width=width, height="100%", rx="2")
    return element("svg", rect, class_=f"meter {kind}", aria_hidden="true")


def _estimate_note() -> Html:
    why = "No control group could be read: these are sums over processes, in which shared pages count more than once."
    return element("p", element("b", "Estimates. "), why, class_="note")
