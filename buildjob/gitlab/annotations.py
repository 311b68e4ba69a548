"""`annotations.json`, GitLab's report of links: they stand on the job's page, one for each package's page.

Several calls of one job share the file: each adds its links. Pure but for the clock that it is given.
Source: GitLab, "artifacts:reports:annotations"; app/validators/json_schemas/ci_job_annotation_data.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import msgspec

from buildjob.outcome import Outcome
from buildjob.run_folder import LOG, LOG_PAGE, PAGE, RunResult

FILE = "annotations.json"
_SECTION = "spack-farm"
_MOST_LINKS = 200
"""GitLab takes 1,000 of a section, and the whole file with 80 KB."""
_LARGEST_BYTES = 60_000
_LONGEST_LABEL = 200
_GOOD = {Outcome.BUILT, Outcome.ALREADY_THERE}


class ExternalLink(msgspec.Struct, frozen=True):
    """A link on the job's page."""

    label: str
    url: str


class Annotation(msgspec.Struct, frozen=True):
    """One annotation; there is no other kind of them."""

    external_link: ExternalLink


Document = dict[str, list[Annotation]]


def merged(
    earlier: bytes, results: Sequence[RunResult], variables: Mapping[str, str], *, index: Path | None = None
) -> bytes | None:
    """Return the file with the links of some results added to those of earlier calls; None if there is nothing to link.

    The page of all packages, `index`, comes first, then what failed. A file that cannot be read, or is another job's,
    counts as none.
    """
    whole = artifact_url(index, variables) if index else ""
    links = [ExternalLink(label="all packages", url=whole)] if whole else []
    links += [link for result in sorted(results, key=_rank) for link in _links(result, variables)]
    if not links:
        return None
    job_url = variables["CI_JOB_URL"]
    known = {link.url for link in links}
    links += [link for link in _read(earlier) if link.url.startswith(f"{job_url}/") and link.url not in known]
    while True:
        document: Document = {_SECTION: [Annotation(link) for link in links[:_MOST_LINKS]]}
        content = msgspec.json.encode(document)
        if len(content) <= _LARGEST_BYTES:
            return content + b"\n"
        links = links[: len(links) * 3 // 4]


def artifact_url(path: Path, variables: Mapping[str, str]) -> str:
    """Return where a job's artifact is shown; "" outside of GitLab, or for a file that no job of it can keep."""
    job_url, project = variables.get("CI_JOB_URL", ""), variables.get("CI_PROJECT_DIR", "")
    if not job_url.startswith(("https://", "http://")) or not project:
        return ""
    try:
        below = PurePosixPath(path.absolute().relative_to(Path(project).absolute()))
    except ValueError:
        return ""
    return f"{job_url}/artifacts/file/{quote(str(below))}"


def _rank(result: RunResult) -> bool:
    return result.outcome in _GOOD


def _links(result: RunResult, variables: Mapping[str, str]) -> list[ExternalLink]:
    known = result.telemetry.spec
    title = f"{known.name}@{known.version}{f' /{known.hash[:7]}' if known.hash else ''}: {result.outcome.value}"
    wanted = [(PAGE, title)]
    if result.outcome not in _GOOD:
        wanted += [(LOG_PAGE, f"{title}, errors in the log"), (LOG, f"{title}, {LOG}")]
    return [
        ExternalLink(label=label[:_LONGEST_LABEL], url=url)
        for name, label in wanted
        if (result.folder / name).exists() and (url := artifact_url(result.folder / name, variables))
    ]


def _read(content: bytes) -> list[ExternalLink]:
    try:
        document = msgspec.json.decode(content, type=Document)
    except msgspec.MsgspecError:
        return []
    return [one.external_link for many in document.values() for one in many]
