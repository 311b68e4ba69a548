"""What `simulate --page` writes: one HTML file without scripts and without anything from elsewhere. Pure.

Each machine is a line: gray while it boots, light while it is empty, dark by how full it is.
"""

import datetime as dt
import html
from collections.abc import Callable, Sequence

from autoscaler.simulator.difference import HEADINGS, Change
from autoscaler.simulator.run import Result

_WIDTH, _LEFT, _ROW, _TOP = 1000, 150, 9, 24
_MOST_ROWS = 400
_STYLE = """body{font:14px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#1b1f23}
pre{overflow-x:auto;background:#f6f8fa;padding:1em}svg{max-width:100%;height:auto}text{font-size:8px;fill:#57606a}
table{border-collapse:collapse}th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #d0d7de}
th[scope=row]{text-align:left;font-weight:normal}
.axis{font-size:11px}.boot{fill:#9aa0a6}.empty{fill:#f2c14e}.job{fill:#0b6bcb}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}pre{background:#161b22}}"""


def page(table: str, runs: Sequence[tuple[str, Result]], *, start: dt.datetime, changes: Sequence[Change] = ()) -> str:
    """Return the page: the table, what changes from old to new settings, and for each named run the time of its machines."""
    pictures = "".join(f"<h2>{html.escape(name)}</h2>{_picture(result)}" for name, result in runs)
    words = (
        "Each line is a machine: gray while it boots, yellow while it has no job, blue by how full it is. "
        f"Simulated time begins at {start:%Y-%m-%d %H:%M %Z}, a {start:%A}."
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Simulated nodes</title><style>{_STYLE}</style><h1>Simulated nodes</h1><pre>{html.escape(table)}</pre>"
        f"{_changes(changes)}"
        f"<p>{words}</p>{pictures}</html>\n"
    )


def _changes(changes: Sequence[Change]) -> str:
    if not changes:
        return ""
    head = "".join(f'<th scope="col">{html.escape(word)}</th>' for word in HEADINGS)
    rows = "".join(_row(one.cells()) for one in changes)
    return f"<h2>What changes</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    values = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells[1:])
    return f'<tr><th scope="row">{html.escape(cells[0])}</th>{values}</tr>'


def _picture(result: Result) -> str:
    machines = sorted(result.timeline, key=lambda one: (one[2], one[0]))[:_MOST_ROWS]
    if not machines:
        return "<p>No machine was ordered.</p>"
    end = max(1.0, *(one[4] for one in result.timeline))

    def x(at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * at / end

    spans: dict[str, list[tuple[float, float, float]]] = {}
    for name, first, last, share in result.spans:
        spans.setdefault(name, []).append((first, last, share))
    rows = "".join(_machine(index, one, spans.get(one[0], []), x) for index, one in enumerate(machines))
    height = _TOP + _ROW * len(machines) + 10
    hours = _hours(end)
    axis = "".join(
        f'<text class="axis" x="{x(hour * 3600):.0f}" y="14" text-anchor="middle">{hour:g} h</text>' for hour in hours
    )
    left = len(result.timeline) - len(machines)
    more = f"<p>{left} more machines are not drawn.</p>" if left else ""
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img"><title>Machines over time</title>{axis}{rows}</svg>{more}'


def _hours(end: float) -> list[float]:
    step = next((one for one in (0.25, 0.5, 1, 2, 6, 12, 24) if end / 3600 / one <= 12), 48)
    return [step * number for number in range(int(end / 3600 / step) + 1)]


def _machine(
    index: int,
    machine: tuple[str, str, float, float, float],
    spans: list[tuple[float, float, float]],
    x: Callable[[float], float],
) -> str:
    name, kind, ordered, usable, ended = machine
    y, ready = _TOP + _ROW * index, usable or ended
    bars = [_bar("boot", x(ordered), x(ready), y), _bar("empty", x(ready), x(ended), y)]
    bars += [_bar("job", x(first), x(last), y, share) for first, last, share in spans]
    title = html.escape(f"{name} {kind}, {(ended - ordered) / 60:.0f} min")
    label = f'<text x="{_LEFT - 6}" y="{y + 7}" text-anchor="end">{html.escape(f"{name} {kind}")}</text>'
    return f"<g><title>{title}</title>{label}{''.join(bars)}</g>"


def _bar(kind: str, first: float, last: float, y: float, opacity: float = 1.0) -> str:
    shade = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'<rect class="{kind}" x="{first:.1f}" y="{y}" width="{max(0.3, last - first):.1f}" height="{_ROW - 2}"{shade}/>'
