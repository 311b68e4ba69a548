"""Reports as pages: one HTML file each, without scripts and without anything from elsewhere. Pure."""

import html
from collections.abc import Iterable, Sequence

from pipelines.inside.gitlab.names import plain
from pipelines.job_graph import Job, JobGraph
from pipelines.reports import text
from pipelines.reports.coverage import STATES, Coverage
from pipelines.reports.differences import Difference
from pipelines.reports.timing import Price, Timing, by_level

_STYLE = """\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.2em .6em;border-bottom:1px solid #8884;vertical-align:top}td{overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap}.path{font-weight:600}ol.levels{padding-left:1.5em}ol.levels li{margin:.4em 0}
.job{display:inline-block;border:1px solid #8886;border-radius:.3em;padding:0 .4em;margin:.1em}
.on{border:2px solid #b35900}.bar{display:flex;height:1.2em;margin:1em 0;border-radius:.3em;overflow:hidden}
.bar i{display:block}.verified{background:#1a7f37}.there{background:#57ab5a}.own_mirror{background:#4493f8}
.waiting,.unknown{background:#9198a1}.running{background:#bf8700}.failed,.broken{background:#cf222e}
.blocked{background:#fb8f44}.not_redistributable,.external{background:#6e7781}
.k{display:inline-block;width:.8em;height:.8em;border-radius:.2em}.wide{overflow-x:auto}"""


def of_graph(graph: JobGraph, found: Timing, price: Price | None, changed: Sequence[Difference] | None = None) -> str:
    """Return the page of a graph, with what changed where a graph to compare with is given."""
    jobs, path = graph.by_key(), set(found.path)
    levels = "".join(
        f"<li>{''.join(_box(job, is_on_path=job.key in path) for job in level)}</li>"
        for level in by_level(graph.jobs, found)
    )
    built = _table(
        ("package", "size", "from", "needs"),
        [
            (text.title(job), text.size_of(job), job.size_source, ", ".join(text.title(jobs[key]) for key in job.needs))
            for job in graph.jobs
            if job.state == "build"
        ],
    )
    left_out = _table(
        ("package", "state", "why"),
        [(text.title(job), job.state, job.why) for job in graph.jobs if job.state != "build"],
    )
    heading = plain(graph.stack) or "Job graph"
    facts = [f"Spack {graph.spack_commit[:12]}", f"packages {graph.packages_commit[:12]}", graph.mirror, graph.made_at]
    return _document(
        heading,
        _paragraph(" · ".join(fact for fact in facts if fact)),
        _section("Time and cost", f"<pre>{_text(chr(10).join(text.of_timing(graph, found, price)))}</pre>"),
        _section("Changes", _changes(changed)) if changed is not None else "",
        _section("Levels", f'<p>Jobs with a thick border are on the critical path.</p><ol class="levels">{levels}</ol>'),
        _section("Jobs", built),
        _section("Left out", left_out),
    )


def of_coverage(found: Coverage, notes: Sequence[str]) -> str:
    """Return the page of a coverage."""
    total = max(1, len(found.rows))
    bar = "".join(
        f'<i class="{state}" style="width:{100 * count / total:.3f}%"></i>' for state, count in found.counts.items() if count
    )
    legend = "".join(
        f'<tr><td><span class="k {state}"></span></td><td>{_text(state.replace("_", " "))}</td><td class="n">{count}</td>'
        f"<td>{_text(STATES[state])}</td></tr>"
        for state, count in found.counts.items()
        if count
    )
    names = {row.key: row for row in found.rows}
    fixes = _table(
        ("package", "unlocks", "which"),
        [
            (f"{fix.name}/{fix.key[:7]}", str(len(fix.unlocks)), _some(names[key].name for key in fix.unlocks))
            for fix in found.fixes
        ],
    )
    order = {state: place for place, state in enumerate(STATES)}
    rows = "".join(
        f'<tr><td><span class="k {row.state}"></span> {_text(row.state.replace("_", " "))}</td>'
        f"<td>{_link(row.url, f'{row.name}/{row.key[:7]}')}</td><td>{_text(row.why)}</td></tr>"
        for row in sorted(found.rows, key=lambda row: (-order[row.state], row.name, row.key))
    )
    share = text.percent(found.covered, found.wanted)
    return _document(
        f"{plain(found.stack) or 'Stack'}: {found.covered} of {found.wanted} specs are there ({share})",
        _paragraph(found.mirror),
        f'<div class="bar" role="img" aria-label="{found.covered} of {found.wanted} specs are there">{bar}</div>',
        f"<table><tbody>{legend}</tbody></table>",
        "".join(_paragraph(note) for note in notes),
        _section("Fixes that unlock most, one after the other", fixes) if found.fixes else "",
        _section("Specs", _rows(("state", "package", "why"), rows)),
    )


def _changes(found: Sequence[Difference]) -> str:
    if not found:
        return "<p>Nothing changed.</p>"
    return _table(
        ("package", "change", "cause"),
        [(f"{each.name}/{each.key[:7]}", each.kind, "; ".join(each.causes)) for each in found],
    )


def _box(job: Job, *, is_on_path: bool) -> str:
    kind = "job on" if is_on_path else "job"
    return f'<span class="{kind}" title="{_text(text.size_of(job))}">{_text(text.title(job))}</span> '


def _link(url: str, name: str) -> str:
    """Return a link to a web page; any other address is foreign text and leads nowhere."""
    if url.startswith(("https://", "http://")):
        return f'<a href="{_text(url)}" rel="noreferrer">{_text(name)}</a>'
    return _text(name)


def _some(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:20]) + (f" and {len(every) - 20} more" if len(every) > 20 else "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _rows(heads, "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows))


def _rows(heads: Sequence[str], rows: str) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f'<th scope="col">{_text(each)}</th>' for each in heads)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{_text(heading)}</h2>{content}</section>"


def _paragraph(content: str) -> str:
    return f"<p>{_text(content)}</p>" if content else ""


def _document(heading: str, *parts: str) -> str:
    scale = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{scale}<title>{_text(heading)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head>'
        f"<body><main><h1>{_text(heading)}</h1>{''.join(parts)}</main></body></html>\n"
    )


def _text(foreign: str) -> str:
    """Return a text as HTML; only characters that can be printed, and line ends, come through."""
    return html.escape("\n".join(plain(line) if line.strip() else "" for line in foreign.split("\n")))
