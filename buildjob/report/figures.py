"""The page's sections of measured figures: tiles, and tables of phases, memory and processes.

Pure, from a telemetry document with clamped numbers. A figure that could not be measured is absent or a dash, never a zero.
"""

import re
from collections.abc import Iterable, Sequence

from buildjob.report import markup
from buildjob.report.format import format_bytes, format_core_number, format_cores, format_part, format_seconds, format_share
from buildjob.report.limits import Limits, mean_cores, read_limits
from buildjob.report.markup import Html, element, join
from buildjob.report.phase_rows import PhaseRow, phase_rows
from buildjob.telemetry import Telemetry

_PHASES = 40
_PROCESSES = 12
_NAME, _COMMAND = 60, 240
_ABSENT = "–"
_RFC_3339 = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")


def tiles(telemetry: Telemetry) -> Html:
    """Return the key figures."""
    totals, limits = telemetry.totals, read_limits(telemetry)
    was_run = totals.wall_seconds > 0
    shown = [
        _tile("Wall time", format_seconds(totals.wall_seconds) if was_run else _ABSENT, [_when(telemetry)]),
        _tile(
            "CPU time",
            format_seconds(totals.cpu_seconds) if was_run else _ABSENT,
            _cpu_notes(telemetry, limits),
            kind="cpu",
        ),
        _memory_tile(telemetry, limits),
    ]
    if totals.disk_peak_bytes is not None:
        asked = f"of {format_bytes(limits.disk_asked_bytes)} asked for" if limits.disk_asked_bytes else ""
        shown.append(_tile("Disk, peak", format_bytes(totals.disk_peak_bytes), [asked or "stage and prefix"]))
    if totals.written_bytes is not None:
        read = f"{format_bytes(totals.read_bytes)} read" if totals.read_bytes is not None else ""
        shown.append(_tile("Written", format_bytes(totals.written_bytes), [read]))
    if totals.process_peak is not None:
        shown.append(_tile("Processes", f"{totals.process_peak:,}", ["at once, at most"]))
    return element("section", element("h2", "Key figures", class_="silent"), element("dl", *shown, class_="tiles"))


def details(telemetry: Telemetry) -> Html:
    """Return the tables: phases and processes on one side, memory on the other where the page is wide enough."""
    sides = [join(phase_table(telemetry), processes(telemetry)), memory_table(telemetry)]
    return element("div", *(element("div", side, class_="stack") for side in sides if side), class_="columns")


def phase_table(telemetry: Telemetry) -> Html:
    """Return the phases with their figures; for a build without phases, nothing."""
    rows = [_phase_row(row) for row in phase_rows(telemetry, most=_PHASES)]
    if not rows:
        return Html()
    head = _head("Phase", "Wall time", "Share", "CPU time", "Cores", "Memory, peak")
    return _section("Phases", _table(head, rows, caption="Time, CPU and memory of each phase"), class_="phases")


def memory_table(telemetry: Telemetry) -> Html:
    """Return the three memories beside what was asked for and the limit, as bars of one scale."""
    totals, limits = telemetry.totals, read_limits(telemetry)
    note = "the kernel's own; counts page cache, which can be given back"
    if totals.memory_peak_is_upper_bound:
        note += "; set before this build began: an upper bound"
    figures = [
        ("Working set, peak", totals.memory_working_set_peak_bytes, "what Kubernetes evicts by", "memory"),
        ("Anonymous, peak", totals.memory_anonymous_peak_bytes, "what cannot be given back", "memory"),
        # Where none was used there is no need to know what swap is.
        ("Swapped out, peak", totals.memory_swap_peak_bytes or None, "on disk; in no other figure", "memory"),
        ("High-water mark", totals.memory_peak_bytes, note, "faint"),
        ("Asked for", limits.memory_asked_bytes, "the pod's request", "asked"),
        ("Limit", limits.memory_limit_bytes, "above it the kernel kills", "limit"),
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
    """Return the processes that used the most memory or CPU time; nothing if none was seen."""
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


def _memory_tile(telemetry: Telemetry, limits: Limits) -> Html:
    totals = telemetry.totals
    peak = totals.memory_working_set_peak_bytes
    if peak is None:
        return _tile("Memory, peak", _ABSENT, ["could not be measured"], kind="memory")
    notes, bar = [], Html()
    given = limits.memory_limit_bytes or limits.memory_asked_bytes
    if given:
        bar = _bar(peak / given, kind="memory")
    if limits.memory_limit_bytes:
        notes.append(
            f"{format_share(peak, limits.memory_limit_bytes)} of the {format_bytes(limits.memory_limit_bytes)} limit"
        )
    if limits.memory_asked_bytes and limits.memory_asked_bytes != limits.memory_limit_bytes:
        notes.append(f"{format_part(peak, limits.memory_asked_bytes, of='of the')} asked for")
    if not given and telemetry.machine.memory_bytes > 0:
        notes.append(f"no limit; the machine has {format_bytes(telemetry.machine.memory_bytes)}")
    notes.append("estimate: sum over processes" if totals.memory_is_estimate else "working set")
    if telemetry.samples.holes > 0:
        notes.append(f"at least: not read for {format_seconds(telemetry.samples.hole_seconds)}")
    if totals.memory_swap_peak_bytes:
        notes.append(f"and up to {format_bytes(totals.memory_swap_peak_bytes)} in swap space")
    return _tile("Memory, peak", format_bytes(peak), notes, kind="memory", extra=bar)


def _cpu_notes(telemetry: Telemetry, limits: Limits) -> list[str]:
    notes = []
    mean = mean_cores(telemetry)
    if mean is not None:
        notes.append(f"{format_cores(mean)} on average")
    if limits.cores is not None:
        notes.append(f"{format_cores(limits.cores)} {'allowed' if limits.has_cpu_limit else 'in the machine'}")
    if telemetry.totals.cpu_throttled_seconds:
        over = ", added up over its CPUs" if telemetry.totals.cpu_throttled_seconds > telemetry.totals.wall_seconds else ""
        notes.append(f"throttled for {format_seconds(telemetry.totals.cpu_throttled_seconds)}{over}")
    return notes


def _when(telemetry: Telemetry) -> str:
    """Return the start as people write it; a text that is not an RFC 3339 time in UTC stays as it is."""
    start = _RFC_3339.sub(r"\1 \2 UTC", telemetry.started_at[:_NAME])
    return f"from {start}"


def _phase_row(row: PhaseRow) -> Html:
    peak = row.memory_peak_bytes
    return element(
        "tr",
        element("th", markup.text(row.name, limit=_NAME), scope="row"),
        element("td", format_seconds(row.wall_seconds), class_="number"),
        element("td", row.share or _ABSENT, _bar(row.part or 0.0, kind="faint"), class_="number share"),
        element("td", _ABSENT if row.cpu_seconds is None else format_seconds(row.cpu_seconds), class_="number"),
        element("td", _ABSENT if row.cores is None else format_core_number(row.cores), class_="number"),
        element("td", _ABSENT if peak is None else format_bytes(peak), class_="number"),
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
    """Return a bar that fills `share` of its room; the figure beside it says the same."""
    width = f"{markup.format_number(100 * min(max(share, 0.0), 1.0))}%"
    rect = element("rect", width=width, height="100%", rx="2")
    return element("svg", rect, class_=f"meter {kind}", aria_hidden="true")


def _estimate_note() -> Html:
    why = "No control group could be read: these are sums over processes, in which shared pages may count more than once."
    return element("p", element("b", "Estimates. "), why, class_="note")
