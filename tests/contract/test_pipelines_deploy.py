"""Clause: deploy/pipelines: what it adds to deploy/delegate is complete, its two commands agree. The pod: tests/e2e."""

import re
from typing import Any

import yaml

from tests.labs.checkout import ROOT

FOLDER = ROOT / "deploy/pipelines"
BASE: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
POD: dict[str, Any] = yaml.safe_load((FOLDER / "worker.yaml").read_text())["spec"]["template"]["spec"]
(BRING,), (WORKER,) = POD["initContainers"], POD["containers"]
MOUNTS = {each["name"]: each["mountPath"] for each in WORKER["volumeMounts"]}


def test_the_files_of_the_pipelines_base_are_all_named() -> None:
    named = {each["path"] for each in BASE["patches"]} | {
        file for each in BASE["configMapGenerator"] for file in each["files"]
    }
    assert named | {"kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}
    assert (FOLDER / BASE["resources"][0]).resolve() == ROOT / "deploy/delegate"


def test_the_fingerprint_covers_the_scopes_that_spack_is_given() -> None:
    fingerprint, command = WORKER["args"][1], WORKER["args"][-1]
    assert re.findall(r"-C (\S+)", fingerprint) == re.findall(r"-C (\S+)", command) == [MOUNTS["scope"]]
    programs = re.findall(r"\S+\.py", fingerprint + " " + command)
    assert programs == [f"{MOUNTS['generator']}/inside/{name}.py" for name in ("fingerprint", "generate")]
    assert all((ROOT / "pipelines/inside" / program.rpartition("/")[2]).exists() for program in programs)


def test_the_generator_comes_from_our_image_to_where_the_worker_sees_it() -> None:
    source, target = BRING["command"][-2:]
    assert f"COPY pipelines/inside {source}\n" in (ROOT / "images/services/Dockerfile").read_text()
    assert target.rstrip("/") == MOUNTS["generator"]
    assert {each["name"] for each in POD["volumes"]} == set(MOUNTS)


def test_the_patched_containers_and_objects_are_those_of_the_base() -> None:
    pod = yaml.safe_load((ROOT / "deploy/delegate/deployment.yaml").read_text())["spec"]["template"]["spec"]
    assert WORKER["name"] in {each["name"] for each in pod["containers"]}
    assert BRING["image"] in {each["image"] for each in pod["containers"]}
    assert BRING["securityContext"] == pod["initContainers"][0]["securityContext"]
    for path in ("worker.yaml", "networkpolicy.yaml"):
        patch = yaml.safe_load((FOLDER / path).read_text())
        kinds = [yaml.safe_load(file.read_text()) for file in (ROOT / "deploy/delegate").glob("*.yaml")]
        assert (patch["kind"], patch["metadata"]["name"]) in {
            (each["kind"], each.get("metadata", {}).get("name")) for each in kinds
        }


def test_what_spack_writes_is_in_the_scratch_volume() -> None:
    texts = re.findall(r"/\w+\S*", re.sub(r"#.*", "", (FOLDER / "config.yaml").read_text()))
    assert all(text.startswith("/tmp/spack") for text in texts)
    assert {each["name"]: each["value"] for each in WORKER["env"]}["SPACK_USER_CACHE_PATH"].startswith("/tmp/")
