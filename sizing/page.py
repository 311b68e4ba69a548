"""What `show --page` writes: one HTML file without scripts and without anything from elsewhere. Pure.

Asked against used over time: a line from each build's peak to what it asked for; kills are marked.
"""

import datetime as dt
import html
from collections.abc import Callable, Sequence

from sizing.builds import Build
from sizing.quantities import in_gib
from sizing.size_table import Row

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 860, 320, 80, 30
_MOST_BUILDS = 2_000
_STYLE = """body{font:14px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b1f23}
pre{overflow-x:auto;background:#f6f8fa;padding:1em}svg{max-width:100%;height:auto}
.asked{stroke:#c3c9d0}.used{fill:#0b6bcb}
.killed{fill:#c62828}.untrusted{fill:#9aa0a6}.size{stroke:#2e7d32;stroke-dasharray:6 4}text{font-size:12px;fill:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}pre{background:#161b22}.asked{stroke:#484f58}}"""


def page(title: str, text: str, builds: Sequence[Build], row: Row | None) -> str:
    """Return the page: the report's text below a picture of its builds."""
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Size of {name}</title><style>{_STYLE}</style><h1>{name}</h1>{_picture(builds, row)}"
        f"<pre>{html.escape(text)}</pre></html>\n"
    )


def _picture(builds: Sequence[Build], row: Row | None) -> str:
    shown = [build for build in builds if _used(build)][-_MOST_BUILDS:]
    if not shown:
        return "<p>No build has measured its memory.</p>"
    size = (row.memory_bytes if row else None) or 0
    top = 1.05 * max(size, *(max(_used(build), _asked(build)) for build in shown))
    first, last = shown[0].ended, max(shown[-1].ended, shown[0].ended + 1)

    def x(build: Build) -> float:
        return _LEFT + (_WIDTH - _LEFT - 20) * (build.ended - first) / (last - first)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - 10) * value / top

    marks = "".join(_mark(build, x(build), y) for build in shown)
    line = f'<line class="size" x1="{_LEFT}" x2="{_WIDTH}" y1="{y(size):.1f}" y2="{y(size):.1f}"/>' if size else ""
    labels = "".join(
        f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{in_gib(int(value))}</text>'
        for value in (0.0, top / 2, top)
    )
    days = "".join(
        f'<text x="{at:.0f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{_day(ended)}</text>'
        for at, ended, anchor in ((_LEFT, first, "start"), (_WIDTH - 20, last, "end"))
    )
    words = "Peak of each build (blue; red: killed there; gray: untrusted), and what it asked for; green: the next size."
    view = f"0 0 {_WIDTH} {_HEIGHT}"
    return f'<svg viewBox="{view}" role="img"><title>{words}</title>{labels}{days}{line}{marks}</svg><p>{words}</p>'


def _mark(build: Build, at: float, y: Callable[[float], float]) -> str:
    kind = "killed" if build.killed_at_bytes else "used" if build.trusted else "untrusted"
    used, asked = y(_used(build)), y(_asked(build))
    words = html.escape(f"{_day(build.ended)} {build.version}: used {in_gib(_used(build))}, {build.outcome}")
    stem = f'<line class="asked" x1="{at:.1f}" x2="{at:.1f}" y1="{used:.1f}" y2="{asked:.1f}"/>' if _asked(build) else ""
    return f'{stem}<circle class="{kind}" cx="{at:.1f}" cy="{used:.1f}" r="4"><title>{words}</title></circle>'


def _used(build: Build) -> int:
    return build.observation().memory_needed_bytes or 0


def _asked(build: Build) -> int:
    return build.limit_bytes or build.asked_memory_bytes or 0


def _day(ended: float) -> str:
    return dt.datetime.fromtimestamp(ended, tz=dt.UTC).date().isoformat()
