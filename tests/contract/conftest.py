"""A fake cluster of its own for each test that breaks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.fake import lab_on, left_over
from tests.labs.backends.lab import ContractLab


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where backends are named, leave out what has no backend to choose."""
    if not config.getoption("--backend"):
        return
    folder = Path(__file__).parent
    others = [item for item in items if folder in item.path.parents and "backend" not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


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
