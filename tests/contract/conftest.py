"""The contract's tests on the fake cluster: one for all jobs, a few at a time, and one for each test that breaks it."""

import concurrent.futures
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.names import JOB_ID
from tests.contract.runner_lab import Lab, story_of
from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome, Runner

CHECKOUT = Path(__file__).resolve().parents[2]
_OWN_BACKEND = {"test_runner_local.py"}
_JOBS_AT_ONCE = max(4, (os.cpu_count() or 1) + 2)


@pytest.fixture(scope="session")
def images_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the images of all fake clusters: they are laid out once."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def cluster(tmp_path: Path, images_folder: Path) -> Iterator[FakeCluster]:
    """Yield a fake cluster of the test's own."""
    with FakeCluster(tmp_path / "cluster", images=images_folder) as running:
        yield running
        assert not left_over(running)


@pytest.fixture
def lab(cluster: FakeCluster, tmp_path: Path) -> Lab:
    """Return a driver in front of the test's own cluster."""
    return lab_on(cluster, tmp_path)


class Jobs:
    """The jobs of the marked tests: each runs once, a few at a time."""

    def __init__(self, lab: Lab, pool: concurrent.futures.Executor) -> None:
        self._lab = lab
        self._pool = pool
        self._running: dict[int, concurrent.futures.Future[Outcome]] = {}

    def start(self, story: Callable[[Lab], Outcome]) -> concurrent.futures.Future[Outcome]:
        """Start a job, or find it started."""
        if id(story) not in self._running:
            self._running[id(story)] = self._pool.submit(story, self._lab)
        return self._running[id(story)]


@pytest.fixture(scope="session")
def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, images_folder: Path) -> Iterator[Jobs]:
    """Yield the jobs of all selected tests, which run already; a worker among several starts only what it is asked for."""
    folder = tmp_path_factory.mktemp("jobs")
    with FakeCluster(folder / "cluster", images=images_folder) as shared:
        with concurrent.futures.ThreadPoolExecutor(_JOBS_AT_ONCE) as pool:
            started = Jobs(lab_on(shared, folder), pool)
            if not hasattr(request.config, "workerinput"):
                for item in request.session.items:
                    story = story_of(item)
                    if story and item.path.name not in _OWN_BACKEND:
                        started.start(story)
            yield started
        assert not left_over(shared)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, jobs: Jobs) -> Outcome:
    """Return what became of the test's job."""
    story = story_of(request.node)
    assert story is not None
    return jobs.start(story).result()


def lab_on(cluster: FakeCluster, folder: Path) -> Lab:
    """Return a driver in front of a fake cluster."""

    def evict(job_id: int) -> None:
        cluster.kubelet.evict(pod_of(cluster, job_id))

    def remove(job_id: int) -> None:
        cluster.kubelet.delete(pod_of(cluster, job_id), grace_seconds=0)

    def phases(job_id: int) -> list[str]:
        return [pod["status"]["phase"] for pod in cluster.pods() if pod["metadata"]["labels"][JOB_ID] == str(job_id)]

    return Lab(runner=runner_factory(cluster, folder), evict=evict, remove=remove, phases=phases)


def pod_of(cluster: FakeCluster, job_id: int) -> str:
    """Return the name of a job's pod."""
    labels = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in cluster.pods()}
    (name,) = (name for name, found in labels.items() if found[JOB_ID] == str(job_id))
    return str(name)


def runner_factory(cluster: FakeCluster, folder: Path) -> Callable[..., Runner]:
    """Return a function that makes a Runner with settings of its own; see Lab.runner."""

    def make(
        kubernetes: str = "",
        top: str = "",
        kubeconfig: Path | None = None,
        helper_image: str = "localhost/busybox:1",
        **options: Any,
    ) -> Runner:
        number = len(list(folder.glob("settings-*")))
        path = folder / f"settings-{number}-{id(options)}.toml"
        path.write_text(
            f'builds_dir = "{folder}/builds"\ncache_dir = "{folder}/cache"\n{top}\n[kubernetes]\n'
            f'kubeconfig = "{kubeconfig or cluster.kubeconfig()}"\nhelper_image = "{helper_image}"\n{kubernetes}\n'
        )
        environment = {"PYTHONPATH": str(CHECKOUT)} | options.pop("environment", {})
        program = options.pop("program", [sys.executable, "-m", "executor"])
        return Runner(program, ["--config", str(path)], environment=environment, **options)

    return make


def left_over(cluster: FakeCluster) -> list[str]:
    """Return the names of pods that are there once those that were told to go have gone."""
    return [pod["metadata"]["name"] for pod in cluster.pods() if "deletionTimestamp" not in pod["metadata"]]
