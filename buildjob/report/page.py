"""The report of one run as a single HTML page: no script, nothing loaded from elsewhere, readable on a phone and on paper.

Written as `report.html` beside `telemetry.json` and `build.log`. Pure: values in, a string out. All foreign text passes
through `markup`, which escapes it. All lists are cut: the page stays below `MOST_BYTES`, whatever the document holds.
"""

import re
from collections.abc import Sequence

import msgspec

from buildjob.report import facts, figures, markup, pictures
from buildjob.report.clamp import clamp_document, clamp_numbers
from buildjob.report.explain import Explanation, Tone, explain
from buildjob.report.foreign_text import strip_ansi
from buildjob.report.format import format_seconds
from buildjob.report.link import Link
from buildjob.report.log_excerpt import LogExcerpt
from buildjob.report.log_page import page as log_page
from buildjob.report.log_page.errors import LogErrors
from buildjob.report.many import earlier
from buildjob.report.many.changes import Change
from buildjob.report.many.entries import Entry, Refused, read_entry
from buildjob.report.markup import Html, element, join
from buildjob.run_folder import LOG, LOG_PAGE, TELEMETRY
from buildjob.telemetry import FirstError, Telemetry

MOST_BYTES = 400_000

_LINKS = 12
_ERRORS = 12
_BESIDE = re.compile(r"(?:\.\./[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,220}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
"""A file in the page's own folder, or in one beside that."""
_NAME, _WORD, _LINE = 60, 120, 1000
_EXCERPT_LINE = 2000
_EXCERPT_ROWS = 200
_EXCERPT_BYTES = 70_000


def render(  # noqa: PLR0913  each is a source of its own
    telemetry: Telemetry,
    *,
    excerpt: LogExcerpt | None,
    links: tuple[Link, ...],
    reproduce: str,
    errors: LogErrors | None = None,
    others: Sequence[Entry] = (),
) -> str:
    """Return the page, in UTF-8 below `MOST_BYTES`.

    `excerpt` is the part of the log to show, None if there is none; `links` come below the headline; `reproduce` holds
    commands, one a line, and may be empty. `errors` are all that the log has, if it has a page of its own; `others` are the
    other builds of the package, newest first.
    """
    telemetry, excerpt = clamp_document(telemetry), clamp_numbers(excerpt)
    explanation = explain(telemetry)
    measured = (figures.tiles(telemetry), pictures.over_time(telemetry), figures.details(telemetry))
    this = _entry(telemetry) if others else None
    body = element(
        "main",
        _headline(telemetry, explanation, links=links, changes=earlier.changed(this, others) if this else ()),
        _log(telemetry, excerpt),
        _errors(errors),
        *(measured if telemetry.was_measured else ()),
        earlier.section(this, others) if this else Html(),
        facts.reproduce(telemetry, commands=reproduce),
        element("div", facts.spec(telemetry), facts.job(telemetry), facts.machine(telemetry), class_="columns"),
    )
    has_log = excerpt is not None or any(link.url == LOG for link in links)
    spec = telemetry.spec
    return markup.document(
        title=markup.text(f"{spec.name} {spec.version}: {explanation.headline}", limit=_WORD),
        body=join(body, _footer(telemetry, has_log=has_log)),
    )


def _entry(telemetry: Telemetry) -> Entry | None:
    """Return this build as others are compared with it; None if it can't be."""
    try:
        return read_entry(msgspec.json.encode(telemetry))
    except (Refused, ValueError):
        return None


def _headline(
    telemetry: Telemetry, explanation: Explanation, *, links: Sequence[Link], changes: Sequence[Change] = ()
) -> Html:
    spec = telemetry.spec
    name = [
        markup.text(spec.name, limit=_NAME),
        " ",
        element("span", markup.text(spec.version, limit=_NAME), class_="version"),
    ]
    if spec.hash:
        name += [" ", element("code", f"/{spec.hash[:7]}", title=spec.hash, class_="hash")]
    subtitle = [word for word in (spec.compiler, spec.architecture) if word]
    if spec.build_jobs:
        subtitle.append(f"{spec.build_jobs} build jobs" if spec.build_jobs > 1 else "1 build job")
    return element(
        "header",
        element("h1", *name),
        element("p", markup.text(" · ".join(subtitle)), class_="subtitle") if subtitle else "",
        _explanation(telemetry, explanation, changes),
        element("ul", *(element("li", _link(link)) for link in links[:_LINKS]), class_="links") if links else "",
    )


def _explanation(telemetry: Telemetry, explanation: Explanation, changes: Sequence[Change]) -> Html:
    wall = telemetry.totals.wall_seconds
    took = f" {'in' if explanation.tone is Tone.GOOD else 'after'} {format_seconds(wall)}" if wall > 0 else ""
    parts = [element("p", element("strong", markup.text(explanation.headline, limit=_WORD)), took, class_="headline")]
    if explanation.detail:
        parts.append(element("p", markup.text(explanation.detail, limit=_LINE)))
    if changes:
        shown = "; ".join(map(str, changes))
        parts.append(element("p", markup.text(f"Changed: {shown}.", limit=_LINE), class_="change"))
    if explanation.advice:
        parts.append(
            element("ul", *(element("li", markup.text(line, limit=_LINE)) for line in explanation.advice), class_="advice")
        )
    return element("div", *parts, class_=f"explanation {explanation.tone}")


def _link(link: Link) -> Html:
    """Return a link to a file beside the page, or to what the URL names if it is a web address."""
    if link.is_beside and _BESIDE.fullmatch(link.url):
        return element("a", link.label[:_WORD], href=link.url)
    return markup.link(link.label[:_WORD], link.url)


def _log(telemetry: Telemetry, excerpt: LogExcerpt | None) -> Html:
    """Return the first error and the lines around it, or the lines alone; nothing if neither is known."""
    error = telemetry.first_error
    lines = excerpt.lines if excerpt else []
    if error is None and not lines:
        return Html()
    parts = [
        element("h2", "First error" if error else "End of the log" if excerpt and excerpt.error_line is None else "Log")
    ]
    if error:
        parts += _error_text(error)
    if excerpt and lines:
        parts.append(_excerpt(excerpt))
    return element("section", *parts, class_="error" if error else None)


def _errors(errors: LogErrors | None) -> Html:
    """Return all errors of the log, with their lines on its page; nothing if there is only the first one."""
    if errors is None or len(errors.kinds) < 2:
        return Html()
    title = log_page.heading(errors)
    return element("section", element("h2", title), log_page.errors_list(errors, file=LOG_PAGE, most=_ERRORS), id="errors")


def _error_text(error: FirstError) -> list[Html]:
    text = markup.text(strip_ansi(error.text), limit=_LINE)
    where = [element("span", "line ", element("b", f"{error.line:,}"), f" of {LOG}")]
    if error.phase:
        where.append(element("span", "phase ", element("b", markup.text(error.phase, limit=_NAME))))
    if error.file:
        where.append(element("span", "from ", element("code", markup.text(error.file, limit=2 * _WORD))))
    return [element("p", element("code", text), class_="message"), element("p", *where, class_="where")]


def _excerpt(excerpt: LogExcerpt) -> Html:
    """Return the lines with their numbers in the log: as many around the error as the page has room for."""
    error = (excerpt.error_line - excerpt.first_line) if excerpt.error_line is not None else len(excerpt.lines) - 1
    error = min(max(error, 0), len(excerpt.lines) - 1)
    rows = {error: _row(excerpt, error)}
    room = _EXCERPT_BYTES - len(rows[error].encode())
    # Outwards from the error, one line before, one after: the lines farthest away are cut.
    for index in sorted(range(len(excerpt.lines)), key=lambda index: abs(index - error))[1:_EXCERPT_ROWS]:
        rows[index] = _row(excerpt, index)
        room -= len(rows[index].encode())
        if room < 0:
            del rows[index]
            break
    cut = excerpt.truncated or len(rows) < len(excerpt.lines)
    note = element("p", f"Some lines are cut or left out; {LOG} has them whole.", class_="note") if cut else ""
    table = element("table", element("tbody", *(rows[index] for index in sorted(rows))), class_="excerpt")
    label = f"Lines {excerpt.first_line + min(rows)} to {excerpt.first_line + max(rows)} of {LOG}"
    return join(element("div", table, class_="scroll log", role="region", aria_label=label, tabindex="0"), note)


def _row(excerpt: LogExcerpt, index: int) -> Html:
    number = excerpt.first_line + index
    # A tab is layout, not a control character to be shown.
    line = strip_ansi(excerpt.lines[index]).expandtabs(8)
    is_error = number == excerpt.error_line
    mark = element("span", "first error: ", class_="silent") if is_error else ""
    cells = (
        element("th", str(number), scope="row"),
        element("td", mark, element("code", markup.text(line, limit=_EXCERPT_LINE))),
    )
    return element("tr", *cells, class_="hit" if is_error else None)


def _footer(telemetry: Telemetry, *, has_log: bool) -> Html:
    by = f"Written by spack-farm {telemetry.versions.spack_farm[:_NAME]}. All figures of this page are in "
    figures_link, log_link = (element("a", name, href=name) for name in (TELEMETRY, LOG))
    whole_log = ("; the whole log is ", log_link) if has_log else ()
    return element("footer", element("p", by, figures_link, *whole_log, "."))
