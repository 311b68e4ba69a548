"""Jobs that wait in GitLab and have no pod yet: asked for where no job graph says what comes.

`GET /projects/:id/jobs?scope[]=pending`, by pages, in a thread of its own. A job counts if its tags are all among ours. The
token is read from its file for each request and is never written anywhere. Source: GitLab's REST API, "Jobs".
"""

import datetime as dt
import http.client
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec

from autoscaler.errors import CloudError
from autoscaler.outages import Outage
from autoscaler.snapshot import QueuedJob

_PAGE, _MOST_PAGES = 100, 20
_LARGEST = 8 << 20
_TIMEOUT_SECONDS = 15.0
_Answer = TypeVar("_Answer")


class GitLab(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to ask for jobs that have no pod yet; `url = ""` asks nowhere."""

    url: str = ""
    """Such as `https://gitlab.example.com`."""
    token_file: str = ""
    """A file with a token of scope `read_api`; it is read for each request, so it may change."""
    projects: tuple[int, ...] = ()
    """Ids of the projects whose waiting jobs count."""
    tags: tuple[str, ...] = ()
    """Tags of our runners: a job counts if all of its tags are among them."""
    every_seconds: Annotated[float, msgspec.Meta(ge=5)] = 30.0
    """Between two requests for a project."""


class Missing(CloudError):  # noqa: N818  named for what it is, as in autoscaler.errors
    """GitLab answers 404."""


class JobObject(msgspec.Struct, frozen=True, gc=False):
    """A job; only what is read."""

    id: int
    name: str = ""
    status: str = ""
    tag_list: tuple[str, ...] = ()
    created_at: str | None = None
    queued_duration: float | None = None


class GitLabQueue:
    """The jobs, and the thread that asks."""

    def __init__(self, settings: GitLab, *, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self.read_at: float | None = None
        self._jobs: tuple[QueuedJob, ...] = ()
        self._outage = Outage("GitLab's waiting jobs cannot be read", "GitLab's waiting jobs can be read again")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="GitLab", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End asking."""
        self._end.set()

    def jobs(self) -> tuple[QueuedJob, ...]:
        """Return the jobs that waited when GitLab was asked last."""
        return self._jobs

    def ask(self) -> None:
        """Ask for all projects now. Raises CloudError; what was known stays, and gets old."""
        found: list[QueuedJob] = []
        now = self._clock()
        for project in self._settings.projects:
            for page in range(1, _MOST_PAGES + 1):
                jobs = self._page(project, page)
                found += [queued for job in jobs if (queued := queued_job(job, frozenset(self._settings.tags), now))]
                if len(jobs) < _PAGE:
                    break
        self._jobs, self.read_at = tuple(found), now

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self.ask()
                self._outage.worked()
            except CloudError as error:
                self._outage.failed(error)
            except Exception as error:  # noqa: BLE001  a bug here must not end the thread silently
                self._outage.failed(error, is_bug=True)
            self._end.wait(self._settings.every_seconds)

    def _page(self, project: int, page: int) -> list[JobObject]:
        path = f"projects/{project}/jobs?scope%5B%5D=pending&per_page={_PAGE}&page={page}"
        return get(self._settings, path, list[JobObject])


def get(settings: GitLab, path: str, kind: type[_Answer]) -> _Answer:
    """Return what GitLab's API answers; `path` is below `/api/v4/`. Raises CloudError, Missing."""
    try:
        token = Path(settings.token_file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CloudError(f"service.gitlab.token_file cannot be read: {error}") from error
    url = urlsplit(settings.url)
    make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = make(url.hostname or "", url.port, timeout=_TIMEOUT_SECONDS)
    what = f"{settings.url}: {path.partition('?')[0]}"
    try:
        connection.request(
            "GET", f"{url.path.rstrip('/')}/api/v4/{path}", headers={"PRIVATE-TOKEN": token, "Accept": "application/json"}
        )
        answer = connection.getresponse()
        content = answer.read(_LARGEST + 1)
        if answer.status == 404:
            raise Missing(f"{what}: there is no such thing, or the token may not see it")
        if answer.status != 200:
            raise CloudError(f"{what}: status {answer.status}")
        return msgspec.json.decode(content, type=kind)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        raise CloudError(f"{what}: {error!r}"[:300]) from error
    finally:
        connection.close()


def queued_job(job: JobObject, tags: frozenset[str], now: float) -> QueuedJob | None:
    """Return a job of ours; None if its runner must have a tag that ours lack, or if it has none: any runner may take it."""
    if not job.tag_list or not tags.issuperset(job.tag_list):
        return None
    since = now - job.queued_duration if job.queued_duration is not None else _seconds(job.created_at or "")
    return QueuedJob(id=str(job.id), name=job.name[:200], since=since or now)


def _seconds(text: str) -> float:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
