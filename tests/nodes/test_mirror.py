"""Promise: the copy of pods is right again after whatever happens to lists and watches, and its age says how sure it is."""

import time
from collections.abc import Callable, Iterator

import pytest

from autoscaler.cluster.api import connect
from autoscaler.cluster.mirror import Mirror
from autoscaler.cluster.objects import PodObject
from tests.labs.nodes.plugin import NodesLab
from tests.labs.waiting import wait_until

Pods = Mirror[PodObject, str]


@pytest.fixture
def mirror(farm: NodesLab) -> Iterator[Callable[[], Pods]]:
    """Yield a function that starts a copy of the names of the test's pods, read five to a page."""
    started: list[Pods] = []

    def start() -> Pods:
        api = connect(str(farm.kubeconfig()))
        api.page = 5

        def read(pod: PodObject) -> str | None:
            return pod.metadata.name if pod.metadata.namespace == farm.name else None

        started.append(Mirror(api, "pods", PodObject, read))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def names(pods: Pods) -> list[str]:
    return sorted(pods.values())


def shows(pods: Pods, farm: NodesLab) -> bool:
    return names(pods) == sorted(farm.pods())


def add(farm: NodesLab, *numbers: int) -> None:
    for number in numbers:
        farm.add_job(f"p{number:02}", schedulingGates=[{"name": "test/wait"}])


def remove(farm: NodesLab, number: int) -> None:
    path = f"/api/v1/namespaces/{farm.name}/pods/p{number:02}"
    farm.plane.call("DELETE", path, {"gracePeriodSeconds": 0})


def test_pages_make_one_list_and_a_watch_goes_on_from_it(farm: NodesLab, mirror: Callable[[], Pods]) -> None:
    add(farm, *range(12))
    pods = mirror()
    wait_until(lambda: pods.read_at is not None)
    assert shows(pods, farm)
    assert farm.api.count("GET /api/v1/pods.*continue=") >= 2
    add(farm, 20)
    remove(farm, 3)
    wait_until(lambda: shows(pods, farm))
    assert pods.lists == 1


def test_a_page_that_is_too_old_begins_the_list_anew(farm: NodesLab, mirror: Callable[[], Pods]) -> None:
    add(farm, *range(12))
    farm.api.add("GET /api/v1/pods.*continue=", status=410, action=lambda: remove(farm, 1))
    pods = mirror()
    wait_until(lambda: pods.read_at is not None)
    assert shows(pods, farm)


def test_a_watch_that_is_too_old_begins_anew_with_a_list(farm: NodesLab, mirror: Callable[[], Pods]) -> None:
    """The server says so by status, or within the watch."""
    add(farm, 1, 2)
    pods = mirror()
    wait_until(lambda: pods.lists == 1)
    wait_until(lambda: farm.api.count("watch=[tT]rue.* 200"))

    def change() -> None:
        add(farm, 3)
        remove(farm, 1)

    farm.api.add("watch=[tT]rue", status=410, action=change)
    wait_until(lambda: farm.api.cut_all() or pods.lists > 1)
    wait_until(lambda: pods.lists > 1)
    wait_until(lambda: shows(pods, farm))


def test_cut_watches_lose_nothing(farm: NodesLab, mirror: Callable[[], Pods]) -> None:
    pods = mirror()
    wait_until(lambda: pods.read_at is not None)
    for number in range(4):
        wait_until(farm.api.cut_all)
        add(farm, number)
        wait_until(lambda: shows(pods, farm))
    assert pods.lists == 1, "a cut is no reason to list everything again"


def test_an_event_that_is_cut_in_half_is_read_again(farm: NodesLab, mirror: Callable[[], Pods]) -> None:
    pods = mirror()
    wait_until(lambda: pods.read_at is not None)
    wait_until(lambda: farm.api.count("watch=[tT]rue.* 200"))
    farm.api.add("watch=[tT]rue", cut_after_lines=0, times=2)
    wait_until(farm.api.cut_all)
    add(farm, 1, 2, 3)
    wait_until(lambda: shows(pods, farm))


@pytest.mark.parametrize("status", [429, 500, 403, 0])
def test_a_server_that_refuses_for_a_while_is_asked_again(farm: NodesLab, mirror: Callable[[], Pods], status: int) -> None:
    add(farm, 1)
    farm.api.add(
        "GET /api/v1/pods", status=status, cut=not status, times=2 if status == 403 else 6, headers=(("Retry-After", "1"),)
    )
    pods = mirror()
    wait_until(lambda: pods.read_at is not None and shows(pods, farm))


def test_the_age_of_the_copy_grows_only_while_nothing_is_known(farm: NodesLab, mirror: Callable[[], Pods]) -> None:
    pods = mirror()
    wait_until(lambda: pods.read_at is not None)
    wait_until(lambda: farm.api.count("watch=[tT]rue.* 200"))
    read_at = pods.read_at
    farm.api.add("GET /api/v1/pods", cut=True, times=1000)
    farm.api.cut_all()
    time.sleep(1.5)
    assert pods.read_at is not None
    assert read_at is not None
    assert pods.read_at - read_at < 1.4
    farm.api.clear()
    wait_until(lambda: (pods.read_at or 0) > time.time() - 1)
