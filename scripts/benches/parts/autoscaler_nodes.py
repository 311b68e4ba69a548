"""The page of `scripts/bench autoscaler --live`: the figures, and each machine's time under both controllers as a picture.

It is made of what `--timelines` writes, so a picture can be drawn again without another run. Pure: text in, text out.
"""

import html
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

_WIDTH, _LEFT, _RIGHT, _ROW, _HEAD = 1000, 12, 12, 5, 46
_EMPTY, _JOB, _INK, _LINE = "#f2c14e", "#0b6bcb", "#1b1f23", "#d0d7de"
_MOST_TICKS = 12
_STEPS_HOURS = (0.05, 0.1, 0.25, 0.5, 1, 2, 6, 12, 24)
TITLES = {"karpenter": "Karpenter, Spack's settings", "ours": "spack-farm autoscaler"}


class MachineTime(msgspec.Struct, frozen=True):
    """A machine's time, in stretched seconds from the first job on."""

    type: str
    begun: float
    ended: float
    jobs: tuple[tuple[float, float, float], ...] = ()
    """Begin, end and share of each job on it: of the machine's cores or memory that it requests, the larger one."""


class Timelines(msgspec.Struct, frozen=True):
    """What `--timelines` writes."""

    figures: dict[str, Any]
    """The bench's last line."""
    table: str
    """The bench's table."""
    timelines: dict[str, tuple[MachineTime, ...]]
    """Side -> its machines."""


def read(content: bytes) -> Timelines:
    """Return a document of `--timelines`. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(content, type=Timelines)


def picture(found: Timelines) -> str:
    """Return an SVG without script and without anything from elsewhere: a part for each side, on one axis of time."""
    end = max((one.ended for some in found.timelines.values() for one in some), default=0.0) or 1.0
    parts, y = [], 0.0
    for side, machines in found.timelines.items():
        parts.append(_side(side, machines, y=y, end=end))
        y += _HEAD + _ROW * max(len(machines), 1) + 30
    title = html.escape(f"Machines over time: {', '.join(TITLES.get(side, side) for side in found.timelines)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:.0f}" role="img" font-family="sans-serif" '
        f'font-size="12" fill="{_INK}"><title>{title}</title><rect width="{_WIDTH}" height="{y:.0f}" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def page(found: Timelines, *, picture_name: str) -> str:
    """Return the page in Markdown: the bench's table, its ratios, and the picture. Raises KeyError for other figures."""
    figures = found.figures
    ratios = figures["ratios"]
    lost = sum(side["lost"] for side in figures["sides"].values())
    fixed = "; ".join(
        f"{TITLES.get(side, side)}: {one['fixed']['start_seconds']:.1f} s from a pod to its node beside the boot time, "
        f"{one['fixed']['end_seconds']:.1f} s from a node's last job to its end beside the idle time"
        for side, one in figures["sides"].items()
    )
    of_peer = {name: "-" if value is None else f"{value:g}" for name, value in ratios.items()}
    return (
        f"# `scripts/bench autoscaler --live`\n\n{figures['date']}, commit {figures['commit']}. {figures['title']}.\n\n"
        f"```\n{found.table}\n```\n\n"
        f"Ours, of Karpenter's: cost {of_peer['cost']} ({of_peer['net_cost']} net of what the compression of time adds to "
        f"fixed latencies), p95 wait {of_peer['p95_wait']}. Jobs lost on both sides: {lost}.\n\n"
        f"Fixed latencies, measured on the empty lab: {fixed}.\n\n"
        f"![Each machine's time under both controllers]({picture_name})\n\n"
        "Each line is a machine, from its order to its end, on the same axis of time: yellow while it boots or has no job, "
        "blue by how full it is.\n"
    )


def _side(side: str, machines: Sequence[MachineTime], *, y: float, end: float) -> str:
    hours = sum(one.ended - one.begun for one in machines) / 3600
    used = sum((until - since) * share for one in machines for since, until, share in one.jobs) / 3600
    words = f"{len(machines)} machines, {hours:.1f} machine hours"
    words += f", of which jobs requested {100 * used / hours:.0f} %" if hours else ""
    bottom = y + _HEAD + _ROW * max(len(machines), 1)
    rows = "".join(_machine(one, y=y + _HEAD + _ROW * number, end=end) for number, one in enumerate(machines))
    return (
        f'<text x="{_LEFT}" y="{y + 18:.0f}" font-size="15" font-weight="bold">{html.escape(TITLES.get(side, side))}</text>'
        f'<text x="{_LEFT}" y="{y + 36:.0f}">{html.escape(words)}</text>{_axis(y + _HEAD, bottom, end)}{rows}'
    )


def _x(at: float, end: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(at, 0.0), end) / end


def _axis(top: float, bottom: float, end: float) -> str:
    step = next((one for one in _STEPS_HOURS if end / 3600 / one <= _MOST_TICKS), end / 3600 / _MOST_TICKS)
    lines = []
    for number in range(int(end / 3600 / step) + 1):
        x = _x(number * step * 3600, end)
        lines.append(f'<path d="M{x:.1f} {top:.0f}V{bottom:.0f}" stroke="{_LINE}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 14:.0f}" text-anchor="middle">{number * step:g} h</text>')
    return "".join(lines)


def _machine(machine: MachineTime, *, y: float, end: float) -> str:
    bars = _bar(_x(machine.begun, end), _x(machine.ended, end), y=y)
    bars += "".join(_bar(_x(since, end), _x(until, end), y=y, share=share) for since, until, share in _fill(machine.jobs))
    title = html.escape(f"{machine.type}, {(machine.ended - machine.begun) / 60:.0f} min, {len(machine.jobs)} jobs")
    return f"<g><title>{title}</title>{bars}</g>"


def _fill(jobs: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Return from when to when a machine was how full, where it had jobs: those of the same time add up."""
    steps = sorted({at for since, until, _ in jobs for at in (since, until)})
    found = []
    for since, until in itertools.pairwise(steps):
        share = sum(share for begun, ended, share in jobs if begun <= since and ended >= until)
        if share > 0:
            found.append((since, until, min(share, 1.0)))
    return found


def _bar(first: float, last: float, *, y: float, share: float = 0.0) -> str:
    """Return a bar of a machine that is so full."""
    color = f'{_JOB}" fill-opacity="{max(share, 0.15):.2f}' if share else _EMPTY
    return f'<rect x="{first:.1f}" y="{y:.1f}" width="{max(last - first, 0.3):.1f}" height="{_ROW - 1}" fill="{color}"/>'
