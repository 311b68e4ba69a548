"""The contract's tests on the fake cluster: one for all jobs, a few at a time, and one for each test that breaks it."""

import concurrent.futures
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.runner_lab import Lab, story_of
from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome, Runner

CHECKOUT = Path(__file__).resolve().parents[2]
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


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, images_folder: Path
) -> Iterator[dict[int, concurrent.futures.Future[Outcome]]]:
    """Run the jobs of all selected tests, a few at a time, on one cluster; yield what becomes of each, by its story."""
    folder = tmp_path_factory.mktemp("jobs")
    stories = {id(story): story for item in request.session.items if (story := story_of(item))}
    with FakeCluster(folder / "cluster", images=images_folder) as shared:
        shared_lab = lab_on(shared, folder)
        with concurrent.futures.ThreadPoolExecutor(_JOBS_AT_ONCE) as pool:
            yield {key: pool.submit(story, shared_lab) for key, story in stories.items()}
        assert not left_over(shared)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, outcomes: dict[int, concurrent.futures.Future[Outcome]]) -> Outcome:
    """Return what became of the test's job."""
    return outcomes[id(story_of(request.node))].result()


def lab_on(cluster: FakeCluster, folder: Path) -> Lab:
    """Return a driver in front of a fake cluster."""

    def evict(job_id: int) -> None:
        cluster.kubelet.evict(pod_of(cluster, job_id))

    def remove(job_id: int) -> None:
        cluster.kubelet.delete(pod_of(cluster, job_id), grace_seconds=0)

    return Lab(runner=runner_factory(cluster, folder), evict=evict, remove=remove)


def pod_of(cluster: FakeCluster, job_id: int) -> str:
    """Return the name of a job's pod."""
    labels = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in cluster.pods()}
    (name,) = (name for name, found in labels.items() if found["spack-farm.io/job-id"] == str(job_id))
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
        return Runner([sys.executable, "-m", "executor"], ["--config", str(path)], environment=environment, **options)

    return make


def left_over(cluster: FakeCluster) -> list[str]:
    """Return the names of pods that are there once those that were told to go have gone."""
    return [pod["metadata"]["name"] for pod in cluster.pods() if "deletionTimestamp" not in pod["metadata"]]
