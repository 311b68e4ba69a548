"""The images of images/ in pods of a real cluster: what they must have, as whom they run."""

import subprocess
import time

import pytest

from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import load_images
from tests.labs.farm.pipeline import need_spack

MANAGER = """
set -e; id -un; gitlab-runner --version; printf '[kubernetes]\\nnamespace = "jobs"\\n' > /tmp/settings.toml
spack-farm executor config --config /tmp/settings.toml; test ! -w /usr/bin; ! python3 -m pip --version 2>/dev/null
"""
HELPER = "set -e; id -un; git --version; git lfs version; gitlab-runner --version; gitlab-runner cache-archiver --help"
BUILD = """
set -e; id -un; cd $(mktemp -d); spack-farm doctor || true
spack-farm build --command 'echo "int main(){return 0;}" > a.c; make a; ./a' --name a --version 1
ls spack-farm-out/*/report.html
"""
SPACK = """
set -e; id -un; spack --version; spack arch; test -w $SPACK_ROOT/etc/spack; test -w $SPACK_ROOT/opt
spack-farm doctor | grep 'can concretize'
"""


def said_in_pod(lab: ClusterLab, image: str, script: str) -> str:
    """Run a script in a pod of an image to its end; return its output. Fails with it if the script does."""
    if lab.cluster is None:
        pytest.skip("our images are loaded into a cluster of our own")
    load_images(lab.cluster, image)
    name = f"image-{image}-{time.monotonic_ns()}"
    words = ["--image", f"localhost/spack-farm-{image}:1", "--image-pull-policy", "Never", "--restart", "Never"]
    lab.kubectl("run", name, "-n", NAMESPACE, *words, "--command", "--", "bash", "-c", script)
    done = "{.status.phase}"
    deadline = time.monotonic() + 200
    while (phase := lab.kubectl("get", "pod", name, "-n", NAMESPACE, "-o", f"jsonpath={done}")) not in {
        "Succeeded",
        "Failed",
    }:
        assert time.monotonic() < deadline, lab.kubectl("describe", "pod", name, "-n", NAMESPACE)
        time.sleep(0.2)
    output = lab.kubectl("logs", name, "-n", NAMESPACE)
    lab.kubectl("delete", "pod", name, "-n", NAMESPACE, "--now", "--wait=false")
    assert phase == "Succeeded", output
    return output


def test_the_manager_has_runner_and_driver_and_is_not_root(lab: ClusterLab) -> None:
    output = said_in_pod(lab, "manager", MANAGER)
    assert output.splitlines()[0] == "gitlab-runner"
    assert "19.4.0" in output
    assert '"name":"spack-farm"' in output.replace(" ", "")


def test_the_helper_has_git_and_the_runners_own_commands(lab: ClusterLab) -> None:
    output = said_in_pod(lab, "helper", HELPER)
    assert "git version" in output
    assert "git-lfs/" in output
    assert "19.4.0" in output


@pytest.mark.parametrize("image", ["build-debian12", "build-debian13"])
def test_a_build_image_measures_a_build_and_is_not_root(lab: ClusterLab, image: str) -> None:
    output = said_in_pod(lab, image, BUILD)
    assert output.splitlines()[0] == "builder"
    assert "report.html" in output


@pytest.mark.parametrize(("image", "system"), [("build-debian12", "debian12"), ("build-debian13", "debian13")])
def test_a_build_image_has_a_spack_that_can_concretize(lab: ClusterLab, image: str, system: str) -> None:
    need_spack("whether a build image's Spack can concretize")
    assert f"-{system}-" in said_in_pod(lab, image, SPACK)


def test_the_dockerfiles_name_no_moving_tag() -> None:
    found = subprocess.run(
        ["grep", "-rnE", "^ARG (BASE|RUNNER)", "images"], capture_output=True, text=True, check=True
    ).stdout
    assert found
    assert ":latest" not in found
    assert all(":" in line.partition("=")[2] for line in found.splitlines())
