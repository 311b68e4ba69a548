"""Pods whose job is over: the driver has written what became of it, or GitLab says that it has ended, and the pod is there.

Such a pod was left by a manager that died. The driver deletes its pod within seconds, so what counts is for how long this
process has known that the job is over. GitLab is asked, in a thread of its own, for the jobs that run; only a pod whose job
is not among them is asked for by itself. Source: GitLab's REST API, "Jobs".
"""

import threading
import time
from collections.abc import Callable, Collection

from autoscaler.cluster import names
from autoscaler.cluster.objects import PodObject
from autoscaler.cluster.reading import seconds
from autoscaler.errors import CloudError
from autoscaler.lookahead.gitlab import GitLab, JobObject, Missing, get
from autoscaler.outages import Outage
from autoscaler.snapshot import Pod

_PAGE, _MOST_PAGES, _MOST_QUESTIONS = 100, 200, 50
_MANY = 1000
_ROUND_SECONDS = 300.0
_YOUNG_SECONDS = 120.0
"""A pod that is younger may be newer than GitLab's list."""
_ENDED = frozenset({"success", "failed", "canceled", "skipped"})
_RUNNING = "scope%5B%5D=running&scope%5B%5D=pending"
"""What older versions of GitLab know, too; a job that is being canceled is asked for by itself, and has not ended."""
_Job = tuple[int, int]


class Owners:
    """The pods of jobs, and since when a job is known to be over."""

    def __init__(self, settings: GitLab, *, clock: Callable[[], float] = time.time) -> None:
        """Without `settings.url` only what the driver writes counts."""
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[_Job, float]] = {}
        self._over: dict[str, float] = {}
        self._outage = Outage(
            "GitLab cannot be asked for jobs that have ended", "GitLab can be asked for jobs that have ended again"
        )
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs' ends", daemon=True)

    def start(self) -> None:
        """Begin to ask, if there is whom to ask."""
        if self._settings.url:
            self._thread.start()

    def stop(self) -> None:
        """End asking."""
        self._end.set()

    def pod_changed(self, pod: PodObject, change: str) -> None:
        """Note whose pod it is, and whether its driver has written what became of the job."""
        meta = pod.metadata
        job = _number(meta.labels.get(names.JOB_ID, ""))
        if not job:
            return
        with self._lock:
            if change == "DELETED":
                self._jobs.pop(meta.uid, None)
                self._over.pop(meta.uid, None)
                return
            project = _number(meta.annotations.get(names.PROJECT_ID, "") or meta.labels.get(names.PROJECT_ID, ""))
            self._jobs[meta.uid] = ((project, job), seconds(meta.creation_timestamp))
            if names.OUTCOME in meta.annotations:
                self._over.setdefault(meta.uid, self._clock())

    def over(self, pods: Collection[Pod]) -> dict[str, float]:
        """Return the pods, by identity, whose job is over, and since when that is known. `pods` are all that there are."""
        with self._lock:
            if len(self._jobs) > 2 * len(pods) + _MANY:  # those whose end no watch has shown
                there = {pod.uid for pod in pods}
                self._jobs = {uid: job for uid, job in self._jobs.items() if uid in there}
                self._over = {uid: at for uid, at in self._over.items() if uid in there}
            return dict(self._over)

    def ask(self) -> None:
        """Ask GitLab once about the pods of its projects. Raises CloudError; what is known stays."""
        now = self._clock()
        for project in self._settings.projects:
            running = self._running(project)
            with self._lock:
                asked = [
                    (uid, job)
                    for uid, ((its, job), created_at) in self._jobs.items()
                    if its == project and job not in running and uid not in self._over and now - created_at > _YOUNG_SECONDS
                ]
            for uid, job in asked[:_MOST_QUESTIONS]:
                status = self._status(project, job)
                with self._lock:
                    if status in _ENDED and uid in self._jobs:
                        self._over[uid] = self._clock()

    def _running(self, project: int) -> frozenset[int]:
        found: set[int] = set()
        for page in range(1, _MOST_PAGES + 1):
            path = f"projects/{project}/jobs?{_RUNNING}&per_page={_PAGE}&page={page}"
            jobs = get(self._settings, path, list[JobObject])
            found.update(job.id for job in jobs)
            if len(jobs) < _PAGE:
                break
        return frozenset(found)

    def _status(self, project: int, job: int) -> str:
        try:
            return get(self._settings, f"projects/{project}/jobs/{job}", JobObject).status
        except Missing:
            return "canceled"  # its pipeline was deleted: the project itself was seen a moment before

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self.ask()
                self._outage.worked()
            except CloudError as error:
                self._outage.failed(error)
            except Exception as error:  # noqa: BLE001  a bug here must not end the thread silently
                self._outage.failed(error, is_bug=True)
            self._end.wait(_ROUND_SECONDS)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
