"""Clause: nothing secret leaves the job's script and the manager's private files (architecture, section 7; R12, R16).

Secrets of every kind are planted in a job; whatever the driver sends, prints or leaves readable is searched for them.
"""

import base64
import dataclasses
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.names import ATTEMPT
from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome, Runner
from tests.labs.backends.fake import lab_on
from tests.labs.backends.lab import ContractLab

SECRETS = {
    "masked": "s3cret-masked-value",
    "not public": "s3cret-protected-value",
    "file": "s3cret-file-content",
    "job token": "s3cret-job-token",
    "registry password": "s3cret-registry-password",
    "cluster token": "s3cret-cluster-token",
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----s3cret",
}
VARIABLES = [
    {"key": "A_MASKED", "value": SECRETS["masked"], "public": True, "masked": True, "file": False},
    {"key": "A_PROTECTED", "value": SECRETS["not public"], "public": False, "masked": False, "file": False},
    {"key": "A_FILE", "value": SECRETS["file"], "public": True, "masked": False, "file": True},
    {"key": "A_KEY", "value": SECRETS["private key"], "public": False, "masked": False, "file": True},
    {"key": "CI_JOB_TOKEN", "value": SECRETS["job token"], "public": False, "masked": True, "file": False},
    {"key": "A_DOOR", "value": "$A_MASKED ${A_PROTECTED}", "public": True, "masked": False, "file": False},
    {"key": "CI_JOB_URL", "value": "http://gitlab/$A_MASKED", "public": True, "masked": False, "file": False},
]
TEMPLATES = "".join(
    f'[kubernetes.pod_{kind}]\n"example.com/a" = "$A_MASKED"\n"example.com/b" = "${{A_PROTECTED}}-$A_FILE$A_KEY"\n'
    '"example.com/c" = "$A_DOOR"\n"example.com/$A_MASKED" = "x"\n"example.com/d" = "$CI_JOB_TOKEN"\n'
    for kind in ("labels", "annotations")
)


@dataclasses.dataclass(frozen=True)
class Planted:
    """A job with secrets that has ended, and what was seen of it."""

    cluster: FakeCluster
    outcome: Outcome
    modes: dict[str, int]
    """Mode of each private file while the script ran, by its name."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, images_folder: Path) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("planted")
    modes: dict[str, int] = {}

    def look() -> None:
        for path in runner.folder.rglob("*"):
            if path.is_file():
                modes[path.name] = stat.S_IMODE(path.stat().st_mode)

    with FakeCluster(folder / "cluster", images=images_folder, token=SECRETS["cluster token"]) as cluster:
        lab = lab_on(cluster, folder)
        runner = lab.runner(TEMPLATES)
        runner.when("\nbegun\n", look)
        yield Planted(cluster, run(lab, runner, ["echo begun; sleep 1", "exit 5"]), modes)


def run(lab: ContractLab, runner: Runner, script: list[str]) -> Outcome:
    credentials = [
        {"type": "registry", "url": "registry.example", "username": "u", "password": SECRETS["registry password"]}
    ]
    job = lab.job(script, after=["true"], secret_variables=VARIABLES, token=SECRETS["job token"], credentials=credentials)
    return runner.run(job)


def test_what_is_sent_printed_and_left_holds_no_secret(planted: Planted) -> None:
    cluster, outcome = planted.cluster, planted.outcome
    assert outcome.exit_code == 5, outcome.text
    for name, secret in SECRETS.items():
        for document in cluster.created:
            if document["kind"] != "Secret":
                assert secret not in json.dumps(document), f"{name} in a {document['kind']}"
        assert secret not in json.dumps(cluster.store.list("events")), f"{name} in an event"
        assert secret not in outcome.text, f"{name} in the log"
        assert all(secret not in call.stderr.decode() + call.stdout.decode() for call in outcome.calls), name
        assert secret not in json.dumps(cluster.commands), f"{name} in a command line"
        assert secret not in json.dumps(cluster.calls), f"{name} in a path"


def test_the_attempts_files_are_nobody_elses(planted: Planted) -> None:
    assert {"attempt.json", "credentials.json"} <= set(planted.modes)
    assert all(mode & 0o077 == 0 for name, mode in planted.modes.items() if name != "build_exit_code"), planted.modes


def test_what_is_public_does_reach_labels_and_annotations(lab: ContractLab, cluster: FakeCluster) -> None:
    """Else the test above could not fail."""
    runner = lab.runner('[kubernetes.pod_annotations]\n"example.com/a" = "$A_WORD/${CI_PIPELINE_ID}"')
    job = lab.job(["true"], variables={"A_WORD": "seen"})
    assert runner.run(job).state == "success"
    assert cluster.created[0]["metadata"]["annotations"]["example.com/a"] == "seen/77"


def test_registry_credentials_lie_in_a_secret_that_goes_with_the_pod(planted: Planted) -> None:
    secret, pod = planted.cluster.created
    assert (secret["kind"], pod["kind"]) == ("Secret", "Pod")
    (kept,) = planted.cluster.store.list("secrets")
    (owner,) = kept["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Pod", pod["metadata"]["uid"])
    told = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert told["auths"]["registry.example"]["password"] == SECRETS["registry password"]
    assert pod["spec"]["imagePullSecrets"] == [{"name": secret["metadata"]["name"]}]


def test_no_variable_of_the_job_is_in_the_pods_environment(planted: Planted) -> None:
    containers = planted.cluster.created[1]["spec"]["containers"]
    told = {entry["name"] for container in containers for entry in container.get("env", [])}
    assert not told & {variable["key"] for variable in VARIABLES}


def test_a_jobs_variables_choose_nothing_that_the_payload_or_the_operator_decides(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    """Job variables come after the Runner's own in the environment, so anybody may override those."""
    plain, asked = lab.job(["true"]), lab.job(["true"])
    asked |= {key: plain[key] for key in ("id", "job_info")}
    asked["variables"] = plain["variables"] + [
        {"key": key, "value": value, "public": True, "masked": False, "file": False}
        for key, value in {
            "CI_JOB_IMAGE": "evil", "CI_JOB_ID": "1", "CI_PROJECT_ID": "1", "CI_JOB_TIMEOUT": "999999",
            "CI_RUNNER_VERSION": "1",
            "KUBERNETES_NAMESPACE_OVERWRITE": "kube-system", "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE": "admin",
            "KUBERNETES_BEARER_TOKEN": "x", "KUBERNETES_NODE_SELECTOR_A": "b=c", "TMPDIR": "/tmp",
        }.items()
    ]  # fmt: skip
    cluster.images.add("localhost/helper:19.4.0")
    runner = lab.runner(helper_image="localhost/helper:$CI_RUNNER_VERSION")
    assert [runner.run(job).state for job in (plain, asked)] == ["success", "success"]
    first, second = cluster.created
    assert first["spec"] == second["spec"]
    assert first["spec"]["containers"][1]["image"] == "localhost/helper:19.4.0"
    assert first["metadata"]["annotations"] == second["metadata"]["annotations"]
    assert first["metadata"]["labels"] == second["metadata"]["labels"] | {ATTEMPT: first["metadata"]["labels"][ATTEMPT]}


@pytest.mark.parametrize("verb", ["prepare", "run", "cleanup"])
def test_a_failing_verb_prints_no_secret(lab: ContractLab, cluster: FakeCluster, verb: str) -> None:
    """What the API server says is passed on; our requests and our environment are not."""
    pattern = {"prepare": "POST .*pods$", "run": "GET .*/exec$", "cleanup": "DELETE .*"}[verb]
    cluster.faults.add(pattern, code=403, reason="Forbidden", message='User "x" cannot create resource "pods"', times=99)
    outcome = run(lab, lab.runner("[budgets]\napi_seconds = 1\nstart_seconds = 1"), ["true"])
    printed = outcome.text + "".join(call.stderr.decode() + call.stdout.decode() for call in outcome.calls)
    assert "cannot create resource" in printed
    assert not [name for name, secret in SECRETS.items() if secret in printed]
    for pod in cluster.pods():  # where cleanup could not
        if "deletionTimestamp" not in pod["metadata"]:
            cluster.kubelet.delete(pod["metadata"]["name"], grace_seconds=0)
