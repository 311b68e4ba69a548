"""The table that ends the agent's output on the terminal: what each phase used, how it ended, where things are.

Returns text; prints nothing. Plain ASCII unless `unicode` is set, for terminals under `LC_ALL=C`. Foreign text can neither
move the cursor nor color the terminal.
"""

import textwrap
from collections.abc import Iterable, Sequence

from buildjob.report import foreign_text
from buildjob.report.clamp import clamp_document
from buildjob.report.explain import Tone, explain
from buildjob.report.format import format_bytes, format_core_number, format_cores, format_part, format_seconds
from buildjob.report.limits import mean_cores, read_limits
from buildjob.report.link import Link
from buildjob.report.phase_rows import phase_rows
from buildjob.run_folder import LOG
from buildjob.telemetry import Telemetry

_NARROWEST, _WIDEST = 60, 120
_PHASES = 40
_MOST_CLOSING = 3
_NAME, _WORD, _SENTENCE, _PATH = 60, 40, 1000, 4096
_GAP = "  "
_ABSENT = "-"

# SGR parameters. Color never carries meaning alone.
_TONES = {Tone.GOOD: "1;32", Tone.MIXED: "1;33", Tone.BAD: "1;31", Tone.OPEN: "1"}
_FAINT = "2"


class _Terminal:
    """What this terminal can show: colors or none, all characters or ASCII, and how wide."""

    def __init__(self, *, color: bool, width: int, unicode: bool) -> None:
        self._color = color
        self._unicode = unicode
        self.width = min(max(width, _NARROWEST), _WIDEST)

    def one_line(self, text: str, *, limit: int = _SENTENCE) -> str:
        """Return foreign text as one harmless line, cut at `limit` characters."""
        plain = foreign_text.strip_ansi(text)
        plain = foreign_text.cut(plain, limit=limit)
        return foreign_text.escape_controls(plain) if self._unicode else foreign_text.to_ascii(plain)

    def paint(self, text: str, code: str) -> str:
        """Return the text in a color, or as it is."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._color else text

    def wrap(self, text: str, *, first: str) -> list[str]:
        """Return clean text in lines as wide as the terminal; the first begins with `first`, the others below its end."""
        rest = " " * len(first)
        return textwrap.wrap(self.one_line(text), self.width, initial_indent=first, subsequent_indent=rest)


def table(telemetry: Telemetry, *, color: bool, width: int, unicode: bool = False, links: tuple[Link, ...] = ()) -> str:
    """Return the table of one run: lines that end with a line feed, `width` columns wide (60 to 120).

    Paths and URLs (`links`) are not wrapped, so that they can be copied: their lines may be wider.
    """
    telemetry = clamp_document(telemetry)
    terminal = _Terminal(color=color, width=width, unicode=unicode)
    parts = [
        _outcome(telemetry, terminal),
        *((_phases(telemetry, terminal), _totals(telemetry, terminal)) if telemetry.was_measured else ()),
        _links(links, terminal),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def brief(  # noqa: PLR0913  as `table`, and the command that does the same again
    telemetry: Telemetry,
    *,
    color: bool,
    width: int,
    unicode: bool = False,
    links: tuple[Link, ...] = (),
    command: str = "",
) -> str:
    """Return the table of one run without what it used: where things are, how it ended, why, and what to do next."""
    telemetry = clamp_document(telemetry)
    terminal = _Terminal(color=color, width=width, unicode=unicode)
    help_lines = [f"  help: {terminal.one_line(command, limit=_PATH)}"] if command else []
    # the reason last: a log is read from its end
    parts = (_links(links, terminal), [*_outcome(telemetry, terminal), *help_lines])
    return "\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def is_trivial(telemetry: Telemetry) -> bool:
    """Return whether a run went well, and there is nothing to do about it."""
    explanation = explain(clamp_document(telemetry))
    return explanation.tone is Tone.GOOD and not explanation.advice


def one_line(telemetry: Telemetry, *, page: str) -> str:
    """Return how a run went that went well: time, peak memory, where its page is."""
    telemetry = clamp_document(telemetry)
    terminal = _Terminal(color=False, width=_WIDEST, unicode=False)
    headline = terminal.one_line(explain(telemetry).headline, limit=_NAME)
    totals, publish = telemetry.totals, telemetry.publish
    wall = f" in {format_seconds(totals.wall_seconds)}" if totals.wall_seconds > 0 else ""
    peak = totals.memory_working_set_peak_bytes
    facts = [f"{headline}{wall}"]
    facts += [f"peak {format_bytes(peak)}"] if peak else []
    facts += [f"{publish.state}".replace("_", " ")] if publish else []
    title = f"{_name(telemetry, terminal)} {_short_hash(telemetry, terminal)}".rstrip()
    return f"{title}: {', '.join(facts)}; {terminal.one_line(page, limit=_PATH)}"


def closing(failed: Sequence[tuple[Telemetry, str]], *, color: bool, width: int, unicode: bool = False) -> str:
    """Return what ends the output where several packages were built and some failed: first errors, and what to do next.

    Each failure comes with the command that does the same again, "" for none. At most three are shown.
    """
    if not failed:
        return ""
    terminal = _Terminal(color=color, width=width, unicode=unicode)
    lines = []
    for document, command in failed[:_MOST_CLOSING]:
        telemetry = clamp_document(document)
        explanation = explain(telemetry)
        title = f"{_name(telemetry, terminal)} {_short_hash(telemetry, terminal)}".rstrip()
        lines.append(
            f"{title}: {terminal.paint(terminal.one_line(explanation.headline, limit=_NAME), _TONES[explanation.tone])}"
        )
        if telemetry.first_error:
            error = telemetry.first_error
            lines += terminal.wrap(
                f"{LOG}:{error.line}: {terminal.one_line(error.text, limit=160)}", first="  first error: "
            )
        if command:
            lines.append(f"  help: {terminal.one_line(command, limit=_PATH)}")
    if len(failed) > _MOST_CLOSING:
        lines.append(f"and {len(failed) - _MOST_CLOSING} more, in the table above")
    return "\n".join(lines) + "\n"


def overview(rows: Sequence[Telemetry], *, color: bool, width: int, unicode: bool = False) -> str:
    """Return one line for each run, in the given order, below a heading; an empty text for no runs."""
    if not rows:
        return ""
    terminal = _Terminal(color=color, width=width, unicode=unicode)
    clamped = [clamp_document(row) for row in rows]
    cells = [
        ("package", "hash", "outcome", "wall", "CPU", "peak memory"),
        *(_overview_row(row, terminal) for row in clamped),
    ]
    lines = _align(cells, left=3, width=terminal.width)
    painted = [
        _GAP.join([*line[:2], terminal.paint(line[2], _TONES[explain(row).tone]), *line[3:]])
        for row, line in zip(clamped, lines[1:], strict=True)
    ]
    return "\n".join([terminal.paint(_GAP.join(lines[0]), _FAINT), *painted]) + "\n"


def _overview_row(telemetry: Telemetry, terminal: _Terminal) -> tuple[str, ...]:
    totals = telemetry.totals
    return (
        _name(telemetry, terminal),
        _short_hash(telemetry, terminal),
        terminal.one_line(explain(telemetry).headline, limit=_WORD),
        *_times(totals.wall_seconds, totals.cpu_seconds),
        _format_size(totals.memory_working_set_peak_bytes),
    )


def _times(wall_seconds: float, cpu_seconds: float | None) -> tuple[str, str]:
    """Return wall and CPU time; what took no time was not run."""
    if wall_seconds <= 0:
        return _ABSENT, _ABSENT
    return format_seconds(wall_seconds), _ABSENT if cpu_seconds is None else format_seconds(cpu_seconds)


def _name(telemetry: Telemetry, terminal: _Terminal) -> str:
    return f"{terminal.one_line(telemetry.spec.name, limit=_NAME)}@{terminal.one_line(telemetry.spec.version, limit=_NAME)}"


def _short_hash(telemetry: Telemetry, terminal: _Terminal) -> str:
    return f"/{terminal.one_line(telemetry.spec.hash[:7])}" if telemetry.spec.hash else ""


def _outcome(telemetry: Telemetry, terminal: _Terminal) -> list[str]:
    explanation, wall = explain(telemetry), telemetry.totals.wall_seconds
    took = f" {'in' if explanation.tone is Tone.GOOD else 'after'} {format_seconds(wall)}" if wall > 0 else ""
    headline = terminal.paint(terminal.one_line(explanation.headline, limit=_NAME), _TONES[explanation.tone])
    title = f"{_name(telemetry, terminal)} {_short_hash(telemetry, terminal)}".rstrip()
    lines = [f"{title}: {headline}{took}"]
    if explanation.detail:
        lines += terminal.wrap(explanation.detail, first=_GAP)
    for advice in explanation.advice:
        lines += terminal.wrap(advice, first="  -> ")
    if telemetry.first_error:
        error = telemetry.first_error
        lines += terminal.wrap(f"{LOG}:{error.line}: {terminal.one_line(error.text, limit=300)}", first="  first error: ")
    return lines


def _phases(telemetry: Telemetry, terminal: _Terminal) -> list[str]:
    totals = telemetry.totals
    rows = [("phase", "wall", "CPU", "cores", "peak memory")]
    for row in phase_rows(telemetry, most=_PHASES):
        times = (format_seconds(row.wall_seconds), _ABSENT if row.cpu_seconds is None else format_seconds(row.cpu_seconds))
        name = terminal.one_line(row.name, limit=_NAME)
        rows.append((name, *times, _format_number(row.cores), _format_size(row.memory_peak_bytes)))
    times = _times(totals.wall_seconds, totals.cpu_seconds)
    rows.append(("total", *times, _format_number(mean_cores(telemetry)), _format_size(totals.memory_working_set_peak_bytes)))
    head, *lines = (_GAP + _GAP.join(line) for line in _align(rows, left=1, width=terminal.width - len(_GAP)))
    return [terminal.paint(head, _FAINT), *lines]


def _totals(telemetry: Telemetry, terminal: _Terminal) -> list[str]:
    """Return the totals, compared with what the run asked for and its limits."""
    totals, limits = telemetry.totals, read_limits(telemetry)
    facts = [("memory", _memory_text(telemetry))]
    if totals.memory_peak_bytes is not None:
        bound = ", an upper bound" if totals.memory_peak_is_upper_bound else ""
        facts.append(("", f"{format_bytes(totals.memory_peak_bytes)} kernel's high-water mark, counts page cache{bound}"))
    mean = mean_cores(telemetry)
    if mean is not None and limits.cores is not None:
        given = f"{format_cores(limits.cores)} {'allowed' if limits.has_cpu_limit else 'in the machine'}"
        asked = f", {format_cores(limits.cores_asked)} asked for" if limits.cores_asked else ""
        facts.append(("cores", f"{_format_number(mean)} on average; {given}{asked}"))
    if totals.disk_peak_bytes is not None:
        asked = f" of {format_bytes(limits.disk_asked_bytes)} asked for" if limits.disk_asked_bytes else ""
        facts.append(("disk", f"{format_bytes(totals.disk_peak_bytes)}{asked}"))
    return [line for name, text in facts for line in terminal.wrap(text, first=f"  {name:<6}  ")]


def _memory_text(telemetry: Telemetry) -> str:
    totals, limits = telemetry.totals, read_limits(telemetry)
    peak = totals.memory_working_set_peak_bytes
    if peak is None:
        return "could not be measured"
    least = "at least " if telemetry.samples.holes > 0 else ""  # the build may have used more in a hole
    what = "(estimate: sum over processes)" if totals.memory_is_estimate else "working set"
    parts = [f"{least}{format_bytes(peak)} peak {what}"]
    for name, size in (("asked", limits.memory_asked_bytes), ("limit", limits.memory_limit_bytes)):
        if size:
            parts.append(f"{format_part(peak, size)} {name}")
    if totals.memory_swap_peak_bytes:
        parts.append(f"and up to {format_bytes(totals.memory_swap_peak_bytes)} in swap space")
    return ", ".join(parts)


def _links(links: Iterable[Link], terminal: _Terminal) -> list[str]:
    rows = [(terminal.one_line(link.label, limit=_WORD), terminal.one_line(link.url, limit=_PATH)) for link in links]
    widest = max((foreign_text.count_cells(label) for label, _ in rows), default=0)
    return [f"  {_pad(label, widest, left=True)}  {url}" for label, url in rows]


def _align(rows: Sequence[Sequence[str]], *, left: int, width: int) -> list[list[str]]:
    """Return the cells padded to columns: the first `left` ones flush left, the others right; the first is cut to fit."""
    others = [max(map(foreign_text.count_cells, column)) for column in list(zip(*rows, strict=True))[1:]]
    room = max(width - sum(others) - len(_GAP) * len(others), 8)
    first = min(max(foreign_text.count_cells(row[0]) for row in rows), room)
    return [
        [
            _pad(_fit(row[0], first), first, left=True),
            *(
                _pad(cell, size, left=number < left)
                for number, (cell, size) in enumerate(zip(row[1:], others, strict=True), 1)
            ),
        ]
        for row in rows
    ]


def _pad(text: str, cells: int, *, left: bool) -> str:
    space = " " * max(cells - foreign_text.count_cells(text), 0)
    return f"{text}{space}" if left else f"{space}{text}"


def _fit(text: str, cells: int) -> str:
    if foreign_text.count_cells(text) <= cells:
        return text
    kept = text
    while foreign_text.count_cells(kept) > cells - 3:
        kept = kept[:-1]
    return f"{kept}..."


def _format_size(size: int | None) -> str:
    return _ABSENT if size is None else format_bytes(size)


def _format_number(cores: float | None) -> str:
    return _ABSENT if cores is None else format_core_number(cores)
