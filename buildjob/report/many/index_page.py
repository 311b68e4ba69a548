"""The page of many builds: which failed and why, what changed, where a pipeline's time went, and a table of them all.

One file that loads nothing. A script of a few lines, which the policy allows by its checksum, filters and sorts the table;
without it the page lacks only that. Pure: values in, a string out, below `MOST_BYTES`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from importlib import resources

from buildjob.report import markup
from buildjob.report.explain import Tone
from buildjob.report.format import format_bytes, format_part, format_seconds
from buildjob.report.many import timing_section
from buildjob.report.many.changes import RULE, Change, changes_of_all
from buildjob.report.many.entries import Entry
from buildjob.report.many.folder import Collection
from buildjob.report.many.newest import failing
from buildjob.report.many.timing import PipelineTime
from buildjob.report.markup import Html, element, join
from buildjob.run_folder import LOG_PAGE, PAGE

MOST_BYTES = 5_000_000
_FOR_THE_TABLE = 4_700_000
_FAILING, _FAULTS, _PIPELINES = 30, 50, 3
_NAME, _ERROR, _WHY = 60, 150, 300
_ABSENT = "–"
_CELL = ' role="cell"'
"""The rows are laid out one by one, so that thousands take no time where they are not seen; what they are is said here."""
_STYLE = resources.files(__package__).joinpath("index.css").read_text("utf-8")
_SCRIPT = resources.files(__package__).joinpath("index.js").read_text("utf-8")
_CLASSES = {tone: tone.value for tone in Tone}


def render(collection: Collection, pipelines: Sequence[PipelineTime], *, up: str = "", heading: str = "Builds") -> str:
    """Return the page. `up` is the way from the page's folder to the one that was read, with `/` at its end, or nothing."""
    entries = collection.entries
    found = changes_of_all(entries)
    broken = failing(entries)
    sections = [
        _failing(broken, up=up),
        *(timing_section.section(each) for each in pipelines[:_PIPELINES]),
        _builds(collection, found, up=up),
        _faults(collection),
    ]
    main = element("main", _header(collection, heading, has_failing=bool(broken)), *sections)
    return markup.document(
        title=markup.text(f"{heading}: {_summary(collection)}", limit=200),
        body=join(main, _footer(is_compared=bool(found))),
        style=_STYLE,
        script=_SCRIPT,
    )


def _summary(collection: Collection) -> str:
    entries = collection.entries
    bad = sum(entry.tone is Tone.BAD for entry in entries)
    builds = f"{len(entries):,} build{'s' * (len(entries) != 1)}"
    return f"{builds}, {bad:,} failed" if bad else builds


def _header(collection: Collection, heading: str, *, has_failing: bool) -> Html:
    entries = collection.entries
    words = [_summary(collection)]
    if entries:
        words.append(f"the last of {_when(entries[0].ended)} UTC")
    if collection.left_out:
        words.append(f"{collection.left_out:,} older ones are left out")
    jumps = [
        ("#failing", "failed at their last run") if has_failing else None,
        ("#faults", "not read") if collection.faults else None,
    ]
    links = [element("li", element("a", label, href=target)) for target, label in filter(None, jumps)]
    return element(
        "header",
        element("h1", heading),
        element("p", markup.text(" · ".join(words)), class_="subtitle"),
        element("ul", *links, class_="jumps") if links else "",
    )


def _failing(broken: Sequence[Entry], *, up: str) -> Html:
    """Return the packages whose last run failed, with their errors."""
    if not broken:
        return Html()
    items = []
    for entry in broken[:_FAILING]:
        error = element("code", markup.text(entry.error, limit=_WHY), class_="why") if entry.error else ""
        items.append(element("li", _name(entry, up=up), " ", element("b", entry.headline), _needed(entry), error))
    more = len(broken) - _FAILING
    note = element("p", f"and {more:,} more: see the table", class_="note") if more > 0 else ""
    return element(
        "section", element("h2", "Failed at their last run"), element("ul", *items, class_="failing"), note, id="failing"
    )


def _needed(entry: Entry) -> Html:
    """Return which dependencies failed; their own rows are in the table, under the name that stands here."""
    if not entry.failed:
        return Html()
    names = ", ".join(f"{each.name}@{each.version}" for each in entry.failed)
    return markup.text(f": {names}", limit=_WHY)


def _builds(collection: Collection, found: Mapping[int, list[Change]], *, up: str) -> Html:
    entries = collection.entries
    if not entries:
        return element("section", element("h2", "All builds"), element("p", "There are none.", class_="note"))
    places = {entry.hash: entry for entry in reversed(entries) if entry.hash and entry.has_page}
    rows: list[Html] = []
    room = _FOR_THE_TABLE
    for number, entry in enumerate(entries):
        row = _row(entry, found.get(number, []), places, up=up)
        room -= len(row) if row.isascii() else len(row.encode("utf-8", "replace"))
        if room < 0:
            break
        rows.append(row)
    cut = len(entries) - len(rows)
    note = element("p", f"{cut:,} older builds are left out: the page would be too large.", class_="note") if cut else ""
    heads = ("Outcome", "Package", "Wall time", "CPU time", "Memory, peak", "Ended, UTC", "Links")
    head = element("tr", *(_head(name) for name in heads), role="row")
    table = element(
        "table",
        element("caption", "All builds, the newest first", class_="silent"),
        element("thead", head, role="rowgroup"),
        element("tbody", Html("\n".join(rows)), class_="all", role="rowgroup"),
        id="builds",
        role="table",
    )
    scroll = element("div", table, class_="scroll", role="region", aria_label="All builds", tabindex="0")
    return element("section", element("h2", "All builds"), _pick(entries), _find(), scroll, note)


def _head(name: str) -> Html:
    number = "number" if name in {"Wall time", "CPU time", "Memory, peak"} else None
    return element("th", name, scope="col", role="columnheader", class_=number, data_fixed="" if name == "Links" else None)


def _pick(entries: Sequence[Entry]) -> Html:
    """Return the choice of outcomes, which works by style alone."""
    good = sum(entry.tone is Tone.GOOD for entry in entries)
    bad = sum(entry.tone is Tone.BAD for entry in entries)
    choices = (
        ("all", "all", len(entries)),
        ("bad", "failed", bad),
        ("good", "good", good),
        ("other", "other", len(entries) - good - bad),
    )
    shown = [
        element(
            "label",
            element("input", type="radio", name="show", id=f"show-{name}", checked="" if name == "all" else None),
            f"{label} {count:,}",
        )
        for name, label, count in choices
        if count or name == "all"
    ]
    return element("fieldset", element("legend", "Show"), *shown, class_="pick")


def _find() -> Html:
    """Return the field that the script works with; without it, it stays hidden."""
    field = element("input", type="search", id="words", autocomplete="off", spellcheck="false")
    label = element("label", "Find ", field)
    return element("div", label, element("span", id="count", role="status"), class_="find", id="find", hidden="")


def _row(entry: Entry, found: Sequence[Change], places: Mapping[str, Entry], *, up: str) -> Html:
    was_run = entry.wall_seconds > 0
    times = [
        _number(format_seconds(seconds) if was_run else _ABSENT, seconds)
        for seconds in (entry.wall_seconds, entry.cpu_seconds)
    ]
    cells = [
        f"<td{_CELL}>{markup.text(entry.headline, limit=_NAME)}</td>",
        f'<th scope="row" role="rowheader">{_name(entry, up=up)}{_below(entry, found, places, up=up)}</th>',
        *times,
        _memory(entry),
        f'<td{_CELL} data-v="{entry.ended:.0f}">{_when(entry.ended)}</td>',
        f'<td{_CELL} class="links-of">{_links(entry)}</td>',
    ]
    return Html(f'<tr class="{_CLASSES[entry.tone]}" role="row">{"".join(cells)}</tr>')


def _name(entry: Entry, *, up: str) -> Html:
    """Return the package, linked to its page, or else to its job."""
    name = markup.text(entry.name, limit=_NAME)
    if entry.has_page:
        name = markup.file_link(name, f"{up}{entry.place}/{PAGE}")
    elif entry.job and entry.job.url:
        name = markup.link(entry.name[:_NAME], entry.job.url)
    short = f" <code>/{markup.text(entry.hash[:7])}</code>" if entry.hash else ""
    return Html(f"{name} {markup.text(entry.version, limit=_NAME)}{short}")


def _below(entry: Entry, found: Sequence[Change], places: Mapping[str, Entry], *, up: str) -> Html:
    """Return what stands below the name: the error, the dependency that failed, what changed."""
    pieces: list[str] = []
    for failed in entry.failed:
        name = markup.text(f"{failed.name}@{failed.version}", limit=_NAME)
        there = places.get(failed.hash)
        pieces.append(f"<small>needs {markup.file_link(name, f'{up}{there.place}/{PAGE}') if there else name}</small>")
    if entry.error:
        text = markup.text(entry.error, limit=_ERROR)
        if entry.has_log_page and entry.error_line:
            path = f"{up}{entry.place}/{LOG_PAGE}"
            line = markup.file_link(Html(f"line {entry.error_line:,}"), path, fragment=f"L{entry.error_line}")
            text = Html(f"{text} {line}")
        pieces.append(f'<small class="error">{text}</small>')
    if found:
        pieces.append(f'<small class="change">{markup.text(", ".join(map(str, found)))}</small>')
    return Html("".join(pieces))


def _memory(entry: Entry) -> str:
    if entry.memory_bytes is None:
        return _number(_ABSENT, 0)
    shown = format_bytes(entry.memory_bytes)
    if entry.asked_bytes:
        shown += f"<small>{markup.text(format_part(entry.memory_bytes, entry.asked_bytes))}</small>"
    return _number(shown, entry.memory_bytes)


def _number(shown: str, value: float) -> str:
    return f'<td{_CELL} class="number" data-v="{value:.3f}">{shown}</td>'.replace('.000"', '"')


def _links(entry: Entry) -> Html:
    """Return the links of an entry; what is no plain web address is left out here, and stands on its own page."""
    shown = [link for each in entry.links if (link := markup.link(each.label, each.url)).startswith("<a ")]
    return Html(" ".join(link.replace(' rel="noopener noreferrer nofollow"', "") for link in shown))


def _faults(collection: Collection) -> Html:
    faults = collection.faults
    if not faults:
        return Html()
    items = [
        element("li", element("code", markup.text(fault.name, limit=_WHY)), ": ", markup.text(fault.reason, limit=_WHY))
        for fault in faults[:_FAULTS]
    ]
    more = element("p", f"and {len(faults) - _FAULTS:,} more", class_="note") if len(faults) > _FAULTS else ""
    return element("section", element("h2", "Not read"), element("ul", *items, class_="faults"), more, id="faults")


def _footer(*, is_compared: bool) -> Html:
    rule = element("p", RULE) if is_compared else ""
    return element("footer", element("p", "Written by spack-farm from the builds' telemetry."), rule)


def _when(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M}"
