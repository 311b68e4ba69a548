"""How far a pipeline has come, from what was seen of its pods. Pure but for what it remembers.

A job whose pod was seen has had all that it needs. A pod that was deleted says by its outcome whether the jobs behind its
will come. What stays unknown gives no look-ahead for its branch, unless the mirror has the binary: then it is done.
"""

from collections.abc import Iterable

import msgspec

from autoscaler.snapshot import Graph, GraphJob, Size

LARGEST_BYTES = 64 << 20
VERSION = 1
_SUCCEEDED = "script_succeeded"


class SizeObject(msgspec.Struct, frozen=True, gc=False):
    """What a job asks for; null is the operator's default, which is not known here."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


class JobObject(msgspec.Struct, frozen=True):
    """A job of the document; only what is read."""

    key: str
    name: str = ""
    version: str = ""
    needs: tuple[str, ...] = ()
    size: SizeObject = SizeObject()
    expected_seconds: float | None = None
    p90_seconds: float | None = None
    state: str = "build"


class GraphObject(msgspec.Struct, frozen=True):
    """The document."""

    version: int
    jobs: tuple[JobObject, ...] = ()


class Progress:
    """One pipeline's."""

    def __init__(self, digest: str, document: GraphObject) -> None:
        self.digest = digest
        built = [job for job in document.jobs if job.state == "build"]
        self._jobs = {job.key: job for job in built}
        self._all = tuple(_graph_job(job) for job in built)
        self._unsized = frozenset(
            job.key for job in built if job.size.cpu_millicores is None and job.size.memory_bytes is None
        )
        self._dependents: dict[str, list[str]] = {}
        for job in built:
            for need in job.needs:
                self._dependents.setdefault(need, []).append(job.key)
        self._pods: dict[str, set[str]] = {}
        self._outcomes: dict[str, str] = {}
        self._in_mirror: dict[str, bool] = {}

    def pod_seen(self, key: str, uid: str) -> None:
        """Note a pod that has not ended."""
        self._pods.setdefault(key, set()).add(uid)
        self._outcomes.pop(key, None)  # another attempt: what the one before came to is no longer the job's outcome

    def pod_ended(self, key: str, uid: str, outcome: str) -> None:
        """Note a pod that has ended; `outcome` is "" if it did not say."""
        self._pods.setdefault(key, set()).discard(uid)
        if not self._pods[key]:
            self._outcomes[key] = outcome

    def mirror_said(self, key: str, *, has: bool) -> None:
        """Note whether the mirror has a job's binary."""
        self._in_mirror[key] = has

    def questions(self) -> list[JobObject]:
        """Return the jobs of which only the mirror can tell whether they are done."""
        done = self._done()
        return [
            self._jobs[key]
            for key in self._jobs
            if key not in self._in_mirror and key not in done and not self._pods.get(key) and self._may_be_done(key, done)
        ]

    def graph(self) -> Graph:
        """Return what a decision may know."""
        done = self._done()
        unknown = {key for key in self._jobs if key not in done and self._is_unknown(key, done)}
        return Graph(
            digest=self.digest,
            jobs=self._all,
            done=frozenset(done),
            unknown=frozenset(self._with_dependents(unknown) - done | self._unsized),
        )

    def _done(self) -> set[str]:
        done = {key for key, outcome in self._outcomes.items() if outcome}
        done |= {key for key, has in self._in_mirror.items() if has}
        left = [need for key in self._pods for need in self._needs(key)]
        while left:
            key = left.pop()
            if key not in done:
                done.add(key)
                left += self._needs(key)
        return done & self._jobs.keys()

    def _needs(self, key: str) -> tuple[str, ...]:
        job = self._jobs.get(key)
        return job.needs if job else ()

    def _may_be_done(self, key: str, done: set[str]) -> bool:
        """Return whether a job could have ended unseen: its pod left no outcome, or it ended before this process began."""
        return key in self._outcomes or all(need in done or need not in self._jobs for need in self._needs(key))

    def _is_unknown(self, key: str, done: set[str]) -> bool:
        if any(self._failed(need) for need in self._needs(key)):
            return True  # GitLab skips it
        if key in self._outcomes:
            return True  # its pod left no outcome; a further attempt may come, or not
        return not self._pods.get(key) and self._may_be_done(key, done) and key not in self._in_mirror

    def _failed(self, key: str) -> bool:
        return self._outcomes.get(key, _SUCCEEDED) != _SUCCEEDED and not self._in_mirror.get(key)

    def _with_dependents(self, keys: Iterable[str]) -> set[str]:
        found: set[str] = set()
        left = list(keys)
        while left:
            key = left.pop()
            if key not in found:
                found.add(key)
                left += self._dependents.get(key, ())
        return found


def read_graph(content: bytes) -> GraphObject | None:
    """Return a document's jobs; None if it is none of version 1."""
    try:
        document = msgspec.json.decode(content, type=GraphObject)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return document if document.version == VERSION else None


def manifest_path(job: JobObject) -> str:
    """Return where the manifest of a job's binary is. Source: Spack, build cache layout v3."""
    return f"v3/manifests/spec/{job.name}/{job.name}-{job.version}-{job.key}.spec.manifest.json"


def _graph_job(job: JobObject) -> GraphJob:
    size = job.size
    return GraphJob(
        key=job.key,
        name=job.name,
        needs=job.needs,
        size=Size(
            cpu_millicores=size.cpu_millicores or 0, memory_bytes=size.memory_bytes or 0, disk_bytes=size.disk_bytes or 0
        ),
        expected_seconds=job.expected_seconds,
        p90_seconds=job.p90_seconds,
    )
