"""The page of a build log: phases and errors to jump to, and numbered lines to search, wrap and link to.

Bounded: of a log of any size the lines that matter, and a word on what is left out. The lines come one by one and are made
harmless one by one. A script of a few lines searches; everything else works without it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources

import msgspec

from buildjob.report import foreign_text, markup
from buildjob.report.format import format_bytes
from buildjob.report.log_page.errors import LogErrors
from buildjob.report.log_page.windows import Weight, Window
from buildjob.report.markup import Html, element, join
from buildjob.run_folder import LOG, PAGE, PhaseStart

MOST_BYTES = 5_000_000
_ROOM = 4_400_000
_RESERVED = {Weight.ORDINARY: 2_400_000, Weight.USEFUL: 700_000, Weight.NEEDED: 0}
"""What the lines may take, and how much of that lines of a weight leave to those that matter more."""
_LINE, _NAME, _TEXT = 1_000, 60, 300
_ROW_BYTES, _SHORT_LINE = 1_300, 200
"""A line that takes more bytes is cut to so few characters."""
_CHUNK = 400
_KINDS, _PHASES = 50, 60
_STYLE = resources.files(__package__).joinpath("log.css").read_text("utf-8")
_SCRIPT = resources.files(__package__).joinpath("log.js").read_text("utf-8")
_OVERWRITTEN = re.compile(r"^.*\r(?=[^\r])", re.DOTALL)
"""What a line showed before it returned to its start and wrote anew: a progress bar's earlier states."""


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a log as a whole."""

    title: str
    """The package, as people write it."""
    lines: int
    size_bytes: int
    phases: Sequence[PhaseStart] = ()
    errors: LogErrors = LogErrors()


Line = tuple[int, str, Window]


def render(log: Log, lines: Iterable[Line]) -> str:
    """Return the page, in UTF-8 below `MOST_BYTES`. `lines` are those to show, in order."""
    listing = _listing(log, lines)
    main = element("main", _header(log), _errors(log.errors), _lines(log, listing))
    return markup.document(
        title=markup.text(f"Log of {log.title}", limit=200), body=join(main, _footer()), style=_STYLE, script=_SCRIPT
    )


def _header(log: Log) -> Html:
    size = f"{log.lines:,} line{'s' * (log.lines != 1)}, {format_bytes(log.size_bytes)}"
    links = [markup.file_link(Html("report"), PAGE), markup.file_link(Html("the whole log as it is"), LOG)]
    return element(
        "header",
        element("h1", "Log of ", markup.text(log.title, limit=120)),
        element("p", size, class_="subtitle"),
        element("ul", *(element("li", link) for link in links), class_="links"),
    )


def errors_list(errors: LogErrors, *, file: str = "", most: int = _KINDS) -> Html:
    """Return the list of errors, each with a link to its line in `file`, or on the same page."""
    shown = errors.kinds[:most]
    items = []
    for error in shown:
        link = markup.file_link(Html(f"line {error.line:,}"), file, fragment=f"L{error.line}")
        count = element("b", f"{error.count:,} × ") if error.count > 1 else ""
        items.append(element("li", count, element("code", markup.text(error.text, limit=_TEXT)), " ", link))
    return join(element("ul", *items, class_="kinds"), _and_more(errors, len(shown)))


def _and_more(errors: LogErrors, shown: int) -> Html:
    more = len(errors.kinds) - shown
    if not errors.is_whole:
        return element("p", f"and further ones: the log has more than {errors.lines - 1:,} lines with errors", class_="note")
    return element("p", f"and {more:,} further kinds", class_="note") if more else Html()


def heading(errors: LogErrors) -> str:
    """Return how many errors there are, as a heading."""
    kinds, lines = len(errors.kinds), errors.lines
    if lines == kinds:
        return f"{kinds:,} error{'s' * (kinds != 1)}"
    return f"{kinds:,} error{'s' * (kinds != 1)} in {lines:,} lines"


def _errors(errors: LogErrors) -> Html:
    if not errors.kinds:
        return Html()
    return element("section", element("h2", heading(errors)), errors_list(errors), id="errors")


def _lines(log: Log, listing: Html) -> Html:
    jumps = [
        element("li", Html(f'<a href="#P{at}">{markup.text(phase.name, limit=_NAME)}</a>')) for at, phase in _phases(log)
    ]
    jumps.append(element("li", Html('<a href="#end">end</a>')))
    wrap = element("label", element("input", type="checkbox", id="wrap", checked=""), "wrap lines")
    field = element("label", "Find ", element("input", type="search", id="words", autocomplete="off", spellcheck="false"))
    buttons = [
        element("button", label, type="button", id=name) for name, label in (("next", "next"), ("before", "previous"))
    ]
    find = element("span", field, *buttons, element("span", id="count", role="status"), id="find", hidden="")
    return element(
        "section",
        element("h2", "Lines"),
        element("nav", element("ul", *jumps, class_="jumps"), aria_label="Phases"),
        element("div", find, wrap, class_="tools"),
        element("div", listing, id="log", role="region", aria_label=f"Lines of {LOG}", tabindex="0"),
        element("div", id="end"),
    )


def _phases(log: Log) -> Iterator[tuple[int, PhaseStart]]:
    """Yield the phases that can be jumped to, each with its number."""
    yield from enumerate(log.phases[:_PHASES])


def _listing(log: Log, lines: Iterable[Line]) -> Html:
    """Return the lines as numbered lists, with headings where phases begin, and what is left out between them."""
    begins: dict[int, list[str]] = {}
    for at, phase in _phases(log):
        begins.setdefault(phase.line, []).append(f'<h3 id="P{at}">{markup.text(phase.name, limit=_NAME)}</h3>')
    wrong = log.errors.at
    room, next_line = _ROOM, 1
    pieces: list[str] = []
    chunk: list[str] = []

    def close() -> None:
        if chunk:
            pieces.append(f'<ol start="{next_line - len(chunk)}">{"".join(chunk)}</ol>')
            chunk.clear()

    for number, text, window in lines:
        row = _row(number, text, is_error=number in wrong)
        size = _bytes_of(row)
        if size > room - _RESERVED[window.weight]:
            continue
        room -= size
        if number != next_line:
            close()
            pieces += [each for line in range(next_line, number) for each in begins.pop(line, [])] if begins else []
            pieces.append(_gap(next_line, number - 1))
            next_line = number
        if number in begins or len(chunk) == _CHUNK:
            close()
            pieces += begins.pop(number, [])
        chunk.append(row)
        next_line = number + 1
    close()
    pieces += [each for line in sorted(begins) for each in begins[line]]
    if next_line <= log.lines:
        pieces.append(_gap(next_line, log.lines))
    return Html("".join(pieces)) or element("p", "The log is empty.", class_="gap")


def _row(number: int, raw: str, *, is_error: bool) -> str:
    line = foreign_text.strip_ansi(raw.removesuffix("\r"))
    # a tab is layout, not a control character to be shown
    line = _OVERWRITTEN.sub("", line).expandtabs(8)
    shown = markup.text(line, limit=_LINE)
    if _bytes_of(shown) > _ROW_BYTES:
        shown = markup.text(line, limit=_SHORT_LINE)
    kind = ' class="error"' if is_error else ""
    return f'<li id="L{number}"{kind}>{shown}</li>'


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _gap(first: int, last: int) -> str:
    what = f"Lines {first:,} to {last:,} are" if last > first else f"Line {first:,} is"
    return f'<p class="gap">{what} left out; {markup.file_link(Html(LOG), LOG)} has all.</p>'


def _footer() -> Html:
    return element("footer", element("p", f"Long lines are cut; {LOG} has them whole."))
