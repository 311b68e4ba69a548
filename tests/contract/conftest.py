"""The contract's tests on the fake cluster: one for all jobs, a few at a time, and one for each test that breaks it."""

import concurrent.futures
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome
from tests.labs.backends.fake import lab_on, left_over
from tests.labs.backends.lab import ContractLab, story_of

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
def lab(cluster: FakeCluster, tmp_path: Path) -> ContractLab:
    """Return a driver in front of the test's own cluster."""
    return lab_on(cluster, tmp_path)


class Jobs:
    """The jobs of the marked tests: each runs once, a few at a time."""

    def __init__(self, lab: ContractLab, pool: concurrent.futures.Executor) -> None:
        self._lab = lab
        self._pool = pool
        self._running: dict[int, concurrent.futures.Future[Outcome]] = {}

    def start(self, story: Callable[[ContractLab], Outcome]) -> concurrent.futures.Future[Outcome]:
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
