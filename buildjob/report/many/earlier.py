"""The page's section on earlier builds of the same package: a row each, with bars to compare. Pure."""

import datetime as dt
from collections.abc import Sequence

from buildjob.report import markup
from buildjob.report.format import format_bytes, format_seconds
from buildjob.report.many.changes import FIGURES, RULE, Change, changes, comparable, figure_of
from buildjob.report.many.entries import Entry
from buildjob.report.markup import Html, element, join
from buildjob.run_folder import PAGE

_ROWS = 12
_NAME = 60
_ABSENT = "–"
_KINDS = {"wall": "faint", "CPU": "cpu", "memory": "memory"}
_HEADS = {"wall": "Wall time", "CPU": "CPU time", "memory": "Memory, peak"}


def changed(entry: Entry, others: Sequence[Entry]) -> list[Change]:
    """Return what changed since the earlier builds."""
    return changes(entry, comparable(entry, others))


def section(entry: Entry, others: Sequence[Entry]) -> Html:
    """Return the section: this build and the earlier ones, the newest first; nothing if there is none."""
    before = [other for other in others if other.ended < entry.ended and other.wall_seconds > 0][: _ROWS - 1]
    if not before or entry.wall_seconds <= 0:
        return Html()
    rows = [entry, *before]
    most = {figure: max((figure_of(row, figure) or 0.0 for row in rows), default=0.0) or 1.0 for figure in FIGURES}
    heads = element(
        "tr",
        element("th", "Build", scope="col"),
        element("th", "Outcome", scope="col"),
        *(element("th", _HEADS[figure], scope="col", class_="number") for figure in FIGURES),
    )
    caption = f"This build of {entry.name} and the ones before it"
    table = element(
        "table",
        element("caption", markup.text(caption), class_="silent"),
        element("thead", heads),
        element("tbody", *(_row(row, most, is_this=row is entry) for row in rows)),
    )
    return element(
        "section",
        element("h2", "Earlier builds"),
        element("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0"),
        element("p", markup.text(RULE, limit=600), class_="note"),
        class_="earlier",
    )


def _row(row: Entry, most: dict[str, float], *, is_this: bool) -> Html:
    name = markup.text(f"{row.version} /{row.hash[:7]}" if row.hash else row.version, limit=_NAME)
    if is_this:
        label = element("b", name, " (this one)")
    else:
        label = markup.file_link(name, f"../{row.place}/{PAGE}") if row.has_page else name
    when = element("small", f"{dt.datetime.fromtimestamp(row.ended, dt.UTC):%Y-%m-%d %H:%M} UTC")
    cells = [_cell(row, figure, most[figure]) for figure in FIGURES]
    return element(
        "tr", element("th", label, when, scope="row"), element("td", markup.text(row.headline, limit=_NAME)), *cells
    )


def _cell(row: Entry, figure: str, most: float) -> Html:
    value = figure_of(row, figure)
    if value is None:
        return element("td", _ABSENT, class_="number share")
    shown = format_bytes(int(value)) if figure == "memory" else format_seconds(value)
    width = f"{markup.format_number(100 * min(value / most, 1.0))}%"
    bar = element(
        "svg", element("rect", width=width, height="100%", rx="2"), class_=f"meter {_KINDS[figure]}", aria_hidden="true"
    )
    return element("td", join(shown, bar), class_="number share")
