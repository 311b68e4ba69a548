"""The tests' names for the cluster's fixtures (tests/labs/cluster/plugin.py), and a farm on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.runner import Runner
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import Farm, load_images, running_farm
from tests.labs.farm.pipeline import Pipeline, running_pipeline, signing_key


@pytest.fixture(scope="session")
def lab(cluster_lab: ClusterLab) -> ClusterLab:
    """Return a running cluster with a namespace for this process."""
    return cluster_lab


@pytest.fixture(autouse=True)
def rules(cluster_turn: None, no_pod_is_left: None) -> None:
    """Hold every test to the cluster's rules: it waits for its turn, and leaves no pod behind."""


@pytest.fixture(scope="session")
def farm(lab: ClusterLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Yield a coordinator, a real Runner and our driver, in the cluster that `lab` has."""
    if lab.cluster is None:
        pytest.skip("the coordinator of a farm needs a cluster of our own")
    with running_farm(lab.cluster, tmp_path_factory.mktemp("farm"), namespace=NAMESPACE) as made:
        yield made


@pytest.fixture
def settings_file(cluster_settings: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a settings file for the cluster: its arguments are TOML in [kubernetes], and above."""
    return cluster_settings


@pytest.fixture
def runner(cluster_runner: Callable[..., Runner]) -> Callable[..., Runner]:
    """Return a function that makes a Runner whose driver is this checkout's."""
    return cluster_runner


@pytest.fixture(scope="module")
def pipeline(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Yield a project with its mirror, its secrets and a CDash."""
    load_images(farm.cluster, "build-debian12", "build-debian13")
    key = signing_key(tmp_path_factory.mktemp("key"))
    with running_pipeline(farm, tmp_path_factory.mktemp("s3"), key=key) as made:
        yield made
