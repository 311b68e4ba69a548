"""What GitLab's API over HTTP says: which pods' jobs are over, beside the driver's annotations, and which jobs wait."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from autoscaler.cluster.objects import Meta, PodObject
from autoscaler.errors import CloudError
from autoscaler.lookahead.gitlab import GitLab, GitLabQueue
from autoscaler.lookahead.owners import Owners

NOW = 1_790_000_000.0


class FakeGitLab:
    """Jobs by project, served as GitLab does; `broken` answers 500."""

    def __init__(self) -> None:
        self.jobs: dict[int, dict[int, str]] = {7: {}}
        self.tags: dict[int, list[str]] = {}
        self.broken = False
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = outer.answer(self.path, self.headers.get("PRIVATE-TOKEN", ""))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, token: str) -> tuple[int, object]:
        self.asked.append(path)
        if self.broken or token != "secret":
            return 500, {}
        words = urlsplit(path).path.split("/")  # "", api, v4, projects, ID, jobs, ID
        jobs = self.jobs.get(int(words[4]))
        if jobs is None or (len(words) > 6 and int(words[6]) not in jobs):
            return 404, {"message": "404 Not found"}
        if len(words) > 6:
            return 200, {"id": int(words[6]), "status": jobs[int(words[6])]}
        query = parse_qs(urlsplit(path).query)
        found = [
            {"id": job, "status": status, "name": f"build {job}", "tag_list": self.tags.get(job, []), "queued_duration": 5.5}
            for job, status in jobs.items()
            if status in query["scope[]"]
        ]
        page, per_page = int(query["page"][0]), int(query["per_page"][0])
        return 200, found[(page - 1) * per_page : page * per_page]


@pytest.fixture
def gitlab() -> Iterator[FakeGitLab]:
    fake = FakeGitLab()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def owners(gitlab: FakeGitLab, tmp_path: Path) -> Owners:
    (tmp_path / "token").write_text("secret\n")
    url = f"http://127.0.0.1:{gitlab.server.server_address[1]}"
    settings = GitLab(url=url, token_file=str(tmp_path / "token"), projects=(7,), tags=("x",))
    return Owners(settings, clock=lambda: NOW)


def pod(job: object, *, project: object = 7, created: str = "2026-01-01T00:00:00Z", outcome: str = "") -> PodObject:
    labels = {"spack-farm.io/job-id": str(job), "project.runner.gitlab.com/id": str(project)}
    notes = {"spack-farm.io/outcome": outcome} if outcome else {}
    return PodObject(metadata=Meta(uid=f"u{job}", labels=labels, annotations=notes, creation_timestamp=created))


@pytest.mark.parametrize(
    ("status", "is_over"),
    [
        ("running", False), ("pending", False), ("canceling", False), ("preparing", False), ("waiting_for_resource", False),
        ("a word of a later version", False), ("success", True), ("failed", True), ("canceled", True), ("skipped", True),
    ],
)  # fmt: skip
def test_a_job_is_over_if_gitlab_says_that_it_has_ended(
    gitlab: FakeGitLab,
    owners: Owners,
    status: str,
    is_over: bool,  # noqa: FBT001 (a column)
) -> None:
    gitlab.jobs[7][1] = status
    owners.pod_changed(pod(1), "ADDED")
    owners.ask()
    assert owners.over([]) == ({"u1": NOW} if is_over else {})


def test_a_job_whose_pipeline_was_deleted_is_over(owners: Owners) -> None:
    owners.pod_changed(pod(1), "listed")
    owners.ask()
    assert owners.over([]) == {"u1": NOW}


@pytest.mark.parametrize(
    "found",
    [
        pod(1, created="2026-09-21T14:12:20Z"),  # a minute before NOW: newer than GitLab's list
        pod(1, project=8),
        pod(1, project="x"),
        pod("", project=7),
        pod("1 OR 1=1"),
        pod("9" * 40),
    ],
)
def test_of_other_pods_nothing_is_known(gitlab: FakeGitLab, owners: Owners, found: PodObject) -> None:
    gitlab.jobs[7][1] = "success"
    owners.pod_changed(found, "ADDED")
    owners.ask()
    assert owners.over([]) == {}


def test_only_a_pod_whose_job_does_not_run_is_asked_for_by_itself(gitlab: FakeGitLab, owners: Owners) -> None:
    gitlab.jobs[7] = dict.fromkeys(range(1, 251), "running") | {251: "failed"}
    for job in range(1, 252):
        owners.pod_changed(pod(job), "listed")
    owners.ask()
    assert owners.over([]) == {"u251": NOW}
    assert len(gitlab.asked) == 4, "three pages of running jobs, and one job"


def test_a_gitlab_that_does_not_answer_makes_no_orphan_and_forgets_none(gitlab: FakeGitLab, owners: Owners) -> None:
    gitlab.jobs[7][1] = "failed"
    owners.pod_changed(pod(1), "ADDED")
    owners.ask()
    gitlab.broken = True
    gitlab.jobs[7][2] = "failed"
    owners.pod_changed(pod(2), "ADDED")
    with pytest.raises(CloudError):
        owners.ask()
    assert owners.over([]) == {"u1": NOW}
    del gitlab.jobs[7]
    gitlab.broken = False
    with pytest.raises(CloudError):
        owners.ask()
    assert owners.over([]) == {"u1": NOW}, "a project that the token may not see says nothing of its jobs"


def test_what_the_driver_has_written_counts_without_gitlab_and_a_pod_that_is_gone_is_forgotten() -> None:
    owners = Owners(GitLab(), clock=lambda: NOW)
    owners.start()
    for job in range(3000):
        owners.pod_changed(pod(job + 1, outcome="interrupted" if job < 2 else ""), "MODIFIED")
    assert owners.over([]) == {}, "the list of pods says that they are gone"
    owners.pod_changed(pod(1, outcome="script_failed"), "MODIFIED")
    assert owners.over([]) == {"u1": NOW}
    owners.pod_changed(pod(1, outcome="script_failed"), "DELETED")
    assert owners.over([]) == {}


@pytest.fixture
def queue(gitlab: FakeGitLab, tmp_path: Path) -> GitLabQueue:
    (tmp_path / "token").write_text("secret\n")
    url = f"http://127.0.0.1:{gitlab.server.server_address[1]}"
    settings = GitLab(url=url, token_file=str(tmp_path / "token"), projects=(7, 8), tags=("x", "y"))
    return GitLabQueue(settings, clock=lambda: NOW)


def test_jobs_that_wait_count_if_our_runners_may_take_them(gitlab: FakeGitLab, queue: GitLabQueue) -> None:
    gitlab.jobs = {7: {1: "pending", 2: "pending", 3: "running", 4: "pending"}, 8: {5: "pending", 6: "created"}}
    gitlab.tags = {1: ["x"], 2: ["x", "z"], 3: ["x"], 5: ["y", "x"], 6: ["x"]}
    queue.ask()
    assert [(job.id, job.name, job.since) for job in queue.jobs()] == [
        ("1", "build 1", NOW - 5.5), ("5", "build 5", NOW - 5.5),
    ]  # fmt: skip
    assert queue.read_at == NOW


def test_all_pages_of_a_long_queue_are_read(gitlab: FakeGitLab, queue: GitLabQueue) -> None:
    gitlab.jobs = {7: dict.fromkeys(range(1, 251), "pending"), 8: {}}
    gitlab.tags = {job: ["x"] for job in range(1, 251)}
    queue.ask()
    assert len(queue.jobs()) == 250
    assert len(gitlab.asked) == 4


def test_a_gitlab_that_does_not_answer_leaves_what_was_known_and_its_age(gitlab: FakeGitLab, queue: GitLabQueue) -> None:
    gitlab.jobs, gitlab.tags = {7: {1: "pending"}, 8: {}}, {1: ["x"]}
    queue.ask()
    gitlab.broken = True
    with pytest.raises(CloudError, match="status 500"):
        queue.ask()
    assert ([job.id for job in queue.jobs()], queue.read_at) == (["1"], NOW)


def test_a_token_file_that_is_gone_is_named(queue: GitLabQueue, tmp_path: Path) -> None:
    (tmp_path / "token").unlink()
    with pytest.raises(CloudError, match="token_file cannot be read"):
        queue.ask()
