"""What kubelets report of failed pulls, in the words of each runtime, with image names that contain those words."""

import itertools
import json
from pathlib import Path

import pytest

from executor.pull_errors import PullFault, pull_cause, pull_fault

PASSES = PullFault.PASSES
FILE = Path(__file__).resolve().parents[2] / "data/pull_errors/reports.json"
REPORTS = [one for found in json.loads(FILE.read_text("utf-8")).values() if isinstance(found, list) for one in found]
# Names that a job may give: plain ones first, then ones made of the words and numbers above.
IMAGES = [
    "registry.example/team/app:1.0",
    "app",
    "registry.example/team/app:503",
    "registry.example/team/app:429",
    "registry.example/team/app:404",
    "registry.example/forbidden/denied:unauthorized",
    "registry.example/timeout/eof:5.0",
    "registry.example/not-found/manifest-unknown:not-found",
    "registry.example:5000/x509/tls:no-such-host",
    "denied:401",
    "unauthorized/toomanyrequests:403",
    "registry.example/app@sha256:4044034015030000000000000000000000000000000000000000000000000000",
    "localhost/503:404",
]
REASONS = ["ErrImagePull", "ImagePullBackOff"]


def parts(image: str) -> dict[str, str]:
    """Return the parts of a name as runtimes print them."""
    host, slash, path = image.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", image if slash else f"library/{image}"
    repository, _, tag = path.partition("@") if "@" in path else path.partition(":")
    full = f"{host}/{path}" if tag else f"{host}/{path}:latest"
    return {"host": host, "path": repository, "tag": tag or "latest", "full": full, "repository": f"{host}/{repository}"}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("number", range(len(REPORTS)))
def test_a_report_means_the_same_whatever_the_image_is_called(number: int, image: str) -> None:
    message, fault = REPORTS[number]["report"].format_map(parts(image)), PullFault(REPORTS[number]["fault"])
    backed_off = f'Back-off pulling image "{image}": ErrImagePull: {message}'
    assert pull_fault("ErrImagePull", message, image=image) is fault, message
    assert pull_fault("ImagePullBackOff", backed_off, image=image) is fault, message
    assert pull_cause(backed_off) == pull_cause(message) == pull_cause(f'Failed to pull image "{image}": {message}')


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("InvalidImageName", PullFault.IMPOSSIBLE),
        ("ErrImageNeverPull", PullFault.IMPOSSIBLE),
        ("SignatureValidationFailed", PullFault.IMPOSSIBLE),
        ("RegistryUnavailable", PASSES),
        ("ImageInspectError", PASSES),
        ("ContainerCreating", None),
        ("CreateContainerConfigError", None),
    ],
)
def test_a_reason_that_says_enough_needs_no_words(reason: str, fault: PullFault | None) -> None:
    for message, image in itertools.product(["", "503: not found", "denied: x509: "], ["a:1", "denied"]):
        assert pull_fault(reason, message, image=image) is fault


def test_a_back_off_of_an_older_kubelet_says_no_cause() -> None:
    assert pull_cause('Back-off pulling image "registry.example/404:503"') == ""
    assert pull_fault("ImagePullBackOff", 'Back-off pulling image "registry.example/404:503"', image="x") is PASSES
