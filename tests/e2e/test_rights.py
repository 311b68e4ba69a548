"""What the driver may do and lets be seen: the Role against the audit log, planted secrets against the pod."""

import json
from collections.abc import Callable

import pytest

from tests.fakes.runner import Runner, payload
from tests.labs.cluster.jobs import EATER, SMALL, job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab

SECRETS = ["mask-3c1f", "hidden-77aa", "file-90bd", "jobtok-101", "registry-pass-5e"]


_OF_EVERYBODY = "authorization.k8s.io"
"""`executor check` asks for the server's version, and which rights it has: any user may."""


def granted(lab: ClusterLab) -> set[tuple[str, str]]:
    role = json.loads(lab.kubectl("get", "role", "-n", NAMESPACE, "spack-farm-executor", "-o", "json"))
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


def used(lab: ClusterLab) -> dict[tuple[str, str], set[int]]:
    """Return the (resource, verb) pairs of the driver's calls with the answers' codes, from the audit log."""
    assert lab.cluster is not None
    found: dict[tuple[str, str], set[int]] = {}
    for line in (lab.cluster.home / "log/audit.jsonl").read_text().splitlines():
        event = json.loads(line)
        reference = event.get("objectRef") or {"apiGroup": _OF_EVERYBODY}
        if reference.get("apiGroup") == _OF_EVERYBODY:
            continue
        resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
        found.setdefault((resource, event["verb"]), set()).add(event.get("responseStatus", {}).get("code", 0))
    return found


@pytest.mark.alone
def test_every_granted_verb_is_used_and_no_other_is_tried(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    if lab.cluster is None:
        pytest.skip("the audit log is not ours")
    if granted(lab) - used(lab).keys():
        use_everything(lab, runner)
    assert used(lab).keys() == granted(lab)


def use_everything(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    """Run jobs that need every right, for a run of this test without the others."""
    info = job_named("rights")
    credentials = [{"type": "registry", "url": "registry.example", "username": "u", "password": SECRETS[4]}]
    runner(SMALL).run(payload([EATER, "sleep 3"], job_info=info, credentials=credentials))
    runner(SMALL).run(payload(["sleep 4", EATER], job_info=info, id=102))
    in_a_graph = {"SPACK_FARM_GRAPH": "a" * 52, "SPACK_FARM_GRAPH_JOB": "b" * 32}
    runner(SMALL).run(payload(["true"], variables=in_a_graph))
    runner(SMALL).run(payload(["true"], image={"name": "localhost/nothing:1"}))
    refused = {"name": "localhost/busybox:1", "executor_opts": {"kubernetes": {"user": "99999999999"}}}
    runner().run(payload(["true"], image=refused, credentials=credentials))
    vanishing = runner()
    vanishing.when("begun", lambda: lab.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--wait=false"))
    vanishing.run(payload(["echo begun; sleep 60"]))


def test_planted_secrets_are_nowhere_to_be_seen(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    secret_variables = [
        {"key": "MASKED", "value": SECRETS[0], "public": True, "masked": True, "file": False},
        {"key": "HIDDEN", "value": SECRETS[1], "public": False, "masked": False, "file": False},
        {"key": "FILE", "value": SECRETS[2], "public": True, "masked": False, "file": True},
    ]
    labels = '[kubernetes.pod_labels]\n"a/public" = "$CI_PIPELINE_ID"\n"a/masked" = "$MASKED"\n"a/through" = "$INDIRECT"'
    annotations = '[kubernetes.pod_annotations]\n"a/hidden" = "x${HIDDEN}x"\n"a/file" = "$FILE"'
    credentials = [{"type": "registry", "url": "registry.example", "username": "u", "password": SECRETS[4]}]
    seen: list[str] = []
    modes: list[str] = []

    def look() -> None:
        seen.extend(lab.kubectl("get", kind, "-n", NAMESPACE, "-o", "json") for kind in ("pods", "events", "configmaps"))
        modes.extend(path.name for path in job.folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077)

    job = runner(f"{labels}\n{annotations}")
    job.when("begun", look)
    variables = {"INDIRECT": "see $HIDDEN"}
    script = ["echo begun; sleep 2"]
    outcome = job.run(payload(script, secret_variables=secret_variables, variables=variables, credentials=credentials))
    assert outcome.state == "success", outcome.text
    everything = "\n".join([*seen, outcome.text])
    assert '"a/public": "77"' in everything
    assert [secret for secret in SECRETS if secret in everything] == []
    assert modes == []
