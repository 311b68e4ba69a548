"""The Runner's contract, one suite for every backend of the driver: each test runs on the backends that are asked for.

On the fake cluster all jobs run at once, a few at a time; on the others each test runs its own.
"""

import concurrent.futures
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome, Runner
from tests.labs.backends import cluster, fake, local
from tests.labs.backends.lab import BACKENDS, ContractLab, backends_of, story_of
from tests.labs.cluster.lab import ClusterLab

_DEFAULT = ("fake", "local")
_JOBS_AT_ONCE = max(4, (os.cpu_count() or 1) + 2)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each backend that is asked for, but for those for which its mark `not_on` says why not."""
    if "backend" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--backend") or _DEFAULT
        metafunc.parametrize("backend", [name for name in backends_of(metafunc.definition) if name in asked])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out a test that applies to no backend that is asked for."""
    others = [item for item in items if "backend" in getattr(item, "fixturenames", ()) and _backend_of(item) not in BACKENDS]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _backend_of(item: pytest.Item) -> str:
    return str(item.callspec.params.get("backend", "")) if hasattr(item, "callspec") else ""


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
            started = Jobs(fake.lab_on(shared, folder), pool)
            if not hasattr(request.config, "workerinput"):
                for item in request.session.items:
                    story = story_of(item)
                    if story and _backend_of(item) == "fake":
                        started.start(story)
            yield started
        assert not fake.left_over(shared)


@pytest.fixture
def local_lab(backend: str, tmp_path: Path) -> ContractLab:
    """Return a driver that runs scripts as plain processes."""
    assert backend == "local"
    return local.lab_in(tmp_path)


@pytest.fixture
def real_lab(cluster_lab: ClusterLab, cluster_runner: Callable[..., Runner], no_pod_is_left: None) -> ContractLab:
    """Return a driver in front of a real cluster."""
    del no_pod_is_left
    return cluster.lab_on(cluster_lab, cluster_runner)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, backend: str) -> Outcome:
    """Return what became of the test's job."""
    story = story_of(request.node)
    assert story is not None
    match backend:
        case "fake":
            jobs: Jobs = request.getfixturevalue("jobs")
            return jobs.start(story).result()
        case "local":
            ended = story(request.getfixturevalue("local_lab"))
            assert "WARNING: this job runs as plain processes on " in ended.text or "ERROR: " in ended.text
            return ended
        case _:
            return story(request.getfixturevalue("real_lab"))
