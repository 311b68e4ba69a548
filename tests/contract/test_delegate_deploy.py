"""Clause: deploy/delegate: its files agree with each other and with the gateway's defaults. The pod itself: tests/e2e."""

import re
import tomllib
from typing import Any

import yaml

from delegate.settings import read_settings
from tests.labs.checkout import ROOT

FOLDER = ROOT / "deploy/delegate"
NGINX = (FOLDER / "nginx.conf").read_text()
SETTINGS = read_settings(str(FOLDER / "gateway.toml"), {}, {})
POD: dict[str, Any] = yaml.safe_load((FOLDER / "deployment.yaml").read_text())["spec"]["template"]["spec"]
CONTAINERS: dict[str, dict[str, Any]] = {each["name"]: each for each in POD["containers"]}


def seconds(name: str) -> int:
    """Return the seconds of a directive of nginx."""
    found = re.search(rf"{name} (\d+)s;", NGINX)
    assert found
    return int(found[1])


def test_nginx_takes_what_the_gateway_takes_and_waits_longer_than_it_computes() -> None:
    assert f"client_max_body_size {SETTINGS.body_bytes >> 20}m;" in NGINX
    for name in ("proxy_read_timeout", "proxy_cache_lock_timeout", "proxy_cache_lock_age"):
        assert seconds(name) > SETTINGS.deadline_seconds
    assert f"server 127.0.0.1:{SETTINGS.port} " in NGINX


def test_the_pod_ends_in_the_order_in_which_no_request_is_lost() -> None:
    hook = CONTAINERS["nginx"]["lifecycle"]["preStop"]["exec"]["command"][-1]
    asleep = int(re.findall(r"sleep (\d+);", hook)[0])
    linger = int(CONTAINERS["worker"]["command"][CONTAINERS["worker"]["command"].index("--linger") + 1])
    assert asleep < SETTINGS.unready_seconds < linger
    assert SETTINGS.deadline_seconds <= SETTINGS.drain_seconds
    assert POD["terminationGracePeriodSeconds"] >= SETTINGS.unready_seconds + SETTINGS.drain_seconds


def test_the_containers_have_no_rights_and_the_folders_that_they_write_to() -> None:
    assert (POD["automountServiceAccountToken"], POD["securityContext"]["runAsNonRoot"]) == (False, True)
    for container in [*POD["initContainers"], *CONTAINERS.values()]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert "memory" in container["resources"]["limits"]
    mounts = {name: {each["mountPath"] for each in one["volumeMounts"]} for name, one in CONTAINERS.items()}
    assert {SETTINGS.spool, SETTINGS.socket.rpartition("/")[0], SETTINGS.token_file.rpartition("/")[0]} <= mounts["gateway"]
    assert SETTINGS.socket.rpartition("/")[0] in mounts["worker"]
    assert set(re.findall(r"/var/cache/delegate", NGINX)) <= mounts["nginx"]


def test_the_sockets_path_is_the_same_for_gateway_and_worker() -> None:
    command = CONTAINERS["worker"]["command"]
    assert command[command.index("--socket") + 1] == SETTINGS.socket


def test_the_example_changes_the_worker_and_not_another_container() -> None:
    overlay = yaml.safe_load((ROOT / "examples/delegate/pod/kustomization.yaml").read_text())
    assert (ROOT / "examples/delegate/pod" / overlay["resources"][0]).resolve() == FOLDER
    paths = [each["path"] for patch in overlay["patches"] for each in yaml.safe_load(patch["patch"])]
    numbers = {int(path.split("/")[5]) for path in paths if "/containers/" in path}
    assert [POD["containers"][number]["name"] for number in numbers] == ["worker"]
    assert {each["name"] for each in overlay["images"]} <= {each["image"] for each in POD["containers"]}


def test_the_files_of_the_base_are_all_named() -> None:
    base = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    named = {*base["resources"], *(file for each in base["configMapGenerator"] for file in each["files"])}
    assert named | {"kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}
    assert set(tomllib.loads((FOLDER / "gateway.toml").read_text())) >= {"host", "socket", "token_file"}
