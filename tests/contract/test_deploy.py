"""Clause: what deploy/ holds is complete and agrees with the pages and images that name it. docs/sizing.md."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.labs.checkout import ROOT

BASE = ROOT / "deploy" / "sizing"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())


def resources() -> list[dict[str, Any]]:
    """Return the objects of the base, as they are written."""
    return [one for name in KUSTOMIZATION["resources"] for one in yaml.safe_load_all((BASE / name).read_text())]


def cron_pod() -> dict[str, Any]:
    (job,) = (one for one in resources() if one["kind"] == "CronJob")
    pod: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def test_each_file_is_in_the_base_and_each_object_has_a_place_in_the_api() -> None:
    named = {*KUSTOMIZATION["resources"], *KUSTOMIZATION["configMapGenerator"][0]["envs"], "kustomization.yaml"}
    assert {path.name for path in BASE.iterdir()} == named
    assert {(one["apiVersion"], one["kind"]) for one in resources()} == {
        ("v1", "ServiceAccount"), ("rbac.authorization.k8s.io/v1", "Role"), ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("v1", "PersistentVolumeClaim"), ("v1", "ConfigMap"), ("batch/v1", "CronJob"),
    }  # fmt: skip
    assert all("namespace" not in one["metadata"] for one in resources())


def test_no_file_says_a_key_twice() -> None:
    """YAML takes the last one silently."""
    for path in BASE.glob("*.yaml"):
        for tree in yaml.compose_all(path.read_text()):
            waiting = [tree]
            while waiting:
                node = waiting.pop()
                if isinstance(node, yaml.MappingNode):
                    keys = [key.value for key, _ in node.value]
                    assert len(keys) == len(set(keys)), f"{path.name}: {keys}"
                    waiting += [value for _, value in node.value]
                elif isinstance(node, yaml.SequenceNode):
                    waiting += node.value


def test_the_job_may_read_and_replace_one_object() -> None:
    (role,) = (one for one in resources() if one["kind"] == "Role")
    (sizes,) = (one["metadata"]["name"] for one in resources() if one["kind"] == "ConfigMap")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [sizes], "verbs": ["get", "update"]}
    ]
    (fit,) = cron_pod()["containers"]
    assert f"--config-map $NAMESPACE/{sizes} " in fit["command"][-1]


def test_the_manager_mounts_the_table_as_a_folder_and_starts_without_one() -> None:
    pod = yaml.safe_load((ROOT / "docs/reference/manager.yaml").read_text())["spec"]["template"]["spec"]
    (volume,) = (volume["configMap"] for volume in pod["volumes"] if volume["name"] == "sizes")
    (mount,) = (mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "sizes")
    assert volume == {"name": "spack-farm-sizes", "optional": True}
    assert "subPath" not in mount
    assert f"{mount['mountPath']}/sizes.json.gz" in (ROOT / "docs/sizing.md").read_text()


def test_each_image_of_ours_that_a_base_names_is_built_with_the_extra_of_its_verb() -> None:
    built = re.search(r"^all=\((.*)\)$", (ROOT / "scripts/images").read_text(), re.MULTILINE)
    extras = re.search(r'^ARG EXTRAS="(.*)"$', (ROOT / "images/services/Dockerfile").read_text(), re.MULTILINE)
    assert built
    assert extras
    for path in (ROOT / "deploy").rglob("*.yaml"):
        for image in re.findall(r"image: spack-farm-(\S+)", path.read_text()):
            assert image in built[1].split()
            assert image != "services" or path.parent.name in extras[1].split()


@pytest.mark.parametrize("part", ["initContainers", "containers"])
def test_a_container_is_confined_and_is_bounded(part: str) -> None:
    for container in cron_pod()[part]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["limits"]["memory"]
        assert container["image"] in {image["name"] for image in KUSTOMIZATION["images"]}
        assert Path(ROOT / "images" / container["image"].removeprefix("spack-farm-") / "Dockerfile").exists()


def test_each_variable_of_a_command_is_set() -> None:
    given = set(re.findall(r"^(\w+)=", (BASE / "settings.env").read_text(), re.MULTILINE)) | {"NAMESPACE"}
    commands = [container["command"][-1] for part in ("initContainers", "containers") for container in cron_pod()[part]]
    assert {name for command in commands for name in re.findall(r"\$(\w+)", command)} <= given
