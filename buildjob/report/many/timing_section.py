"""The page's section on where a pipeline's time went: the critical path, and the sums over all jobs. Pure."""

from collections.abc import Sequence

from buildjob.report import markup
from buildjob.report.format import format_seconds, format_share
from buildjob.report.many.timing import JobTime, PipelineTime
from buildjob.report.markup import Html, element, join

PARTS = ("wait", "start", "dependencies", "build", "publish")
MEANINGS = {
    "wait": "since all that it needs was there, until the Runner took the job",
    "start": "node, pull and sources, until the agent began",
    "dependencies": "planning, fetching, Spack's start",
    "build": "the package's own phases",
    "publish": "signing, uploading, indexing",
}
_PATH = 200
_NAME = 80
_ABSENT = "–"


def title(pipeline: PipelineTime) -> str:
    """Return the pipeline in a few words."""
    where = " ".join(word for word in (pipeline.project, pipeline.ref) if word)
    return f"pipeline {pipeline.id}" + (f" ({where})" if where else "")


def summary(pipeline: PipelineTime) -> str:
    """Return what a pipeline took, in a sentence without an end."""
    jobs = f"{len(pipeline.jobs):,} job{'s' * (len(pipeline.jobs) != 1)}"
    parts = [jobs]
    if pipeline.seconds is not None:
        parts.append(f"{format_seconds(pipeline.seconds)} until the last one ended")
    parts.append(f"{len(pipeline.path):,} on the critical path")
    share = pipeline.share_of_build()
    if share is not None:
        parts.append(f"{format_share(share, 1.0)} of the jobs' time was the packages' own build")
    if pipeline.not_seen:
        parts.append(f"{pipeline.not_seen:,} of the job graph without telemetry")
    return ", ".join(parts)


def times(job: JobTime) -> tuple[float | None, ...]:
    """Return the seconds of a job, in the order of `PARTS`."""
    return job.wait, job.start, job.dependencies, job.build, job.publish


def section(pipeline: PipelineTime) -> Html:
    """Return the section, which is folded up: the sentence above it says most."""
    name = markup.text(title(pipeline), limit=200)
    linked = markup.link(title(pipeline)[:200], pipeline.url) if pipeline.url else name
    heads = element("tr", element("th", "Job", scope="col"), *(_head(part) for part in PARTS))
    path = pipeline.path[-_PATH:]
    rows = [_row(job) for job in path]
    last = _sums("Critical path", pipeline.sums(pipeline.path)), _sums("All jobs", pipeline.sums(pipeline.jobs))
    table = element(
        "table",
        element("caption", f"Critical path of {title(pipeline)}", class_="silent"),
        element("thead", heads),
        element("tbody", *rows),
        element("tbody", *last),
    )
    cut = (
        f" The first {len(pipeline.path) - len(path):,} jobs of the path are left out."
        if len(pipeline.path) > len(path)
        else ""
    )
    legend = "; ".join(f"{part}: {MEANINGS[part]}" for part in PARTS)
    return element(
        "details",
        element(
            "summary", element("h2", "Where the time went"), join(name, ": ", markup.text(summary(pipeline), limit=400))
        ),
        _bar(pipeline.sums(pipeline.jobs)),
        element("p", "All jobs of ", linked, ", the waits included.", class_="note"),
        element(
            "div", table, class_="scroll", role="region", aria_label=f"Critical path of {title(pipeline)}", tabindex="0"
        ),
        element("p", markup.text(f"{legend}.{cut}", limit=600), class_="note"),
    )


def _head(part: str) -> Html:
    return element("th", Html(f'<span class="key part-{part}"></span>'), part.capitalize(), scope="col", class_="number")


def _row(job: JobTime) -> Html:
    name = markup.link(job.name[:_NAME], job.url) if job.url else markup.text(job.name, limit=_NAME)
    cells = [
        element("td", _ABSENT if seconds is None else format_seconds(seconds), class_="number") for seconds in times(job)
    ]
    return element("tr", element("th", name, scope="row"), *cells)


def _sums(name: str, seconds: Sequence[float]) -> Html:
    cells = [element("td", element("b", format_seconds(value)), class_="number") for value in seconds]
    return element("tr", element("th", element("b", name), scope="row"), *cells)


def _bar(seconds: Sequence[float]) -> Html:
    """Return all jobs' time as one bar, wait included; the table has the same figures."""
    total = sum(seconds)
    if total <= 0:
        return Html()
    pieces, left = [], 0.0
    for part, value in zip(PARTS, seconds, strict=True):
        width = 100 * value / total
        pieces.append(element("rect", x=f"{left:.2f}%", width=f"{width:.2f}%", height="100%", class_=f"part-{part}"))
        left += width
    return element("svg", *pieces, class_="parts", width="100%", aria_hidden="true")
