"""Whose failure a pod is that policies and webhooks of a real API server refuse: what they say is the server's own text."""

import concurrent.futures
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Runner, payload
from tests.labs.cluster.jobs import job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.cluster.webhook import Webhook
from tests.labs.farm.network import listener_inside
from tests.labs.waiting import wait_until

ONCE = ["config", "prepare", "cleanup"]
JOBS, OPERATORS = "script_failure", "runner_system_failure"
CAPS = 'memory_limit_overwrite_max_allowed = "8Gi"\n'
LARGE = {"KUBERNETES_MEMORY_LIMIT": "4Gi"}
BUILD = "object.spec.containers[0]"
LIMIT = f"(has({BUILD}.resources.limits) && 'memory' in {BUILD}.resources.limits)"


def image_is_not(kind: str) -> str:
    return f"object.spec.containers.all(c, !c.image.contains('/{kind}/'))"


VALIDATIONS = [
    {"expression": image_is_not("words"), "message": "this registry is not on our list"},
    {"expression": image_is_not("named"), "messageExpression": f"'image ' + {BUILD}.image + ' is not signed'"},
    {"expression": image_is_not("plain")},
    {"expression": image_is_not("forbidden"), "message": "no", "reason": "Forbidden"},
    {"expression": f"!{LIMIT} || quantity({BUILD}.resources.limits.memory).compareTo(quantity('1Gi')) <= 0"},
    {
        "expression": f"!('large' in object.metadata.labels) || !{LIMIT}",
        "message": "a memory limit of this size is too large",
    },
    {"expression": "!('deny' in object.metadata.labels)", "message": "the label deny may not be set"},
    {"expression": "!('secure' in object.metadata.labels) || object.spec.securityContext.runAsNonRoot"},
    {"expression": "!('broken' in object.metadata.labels) || object.spec.nodeSelector.nothing == 'x'"},
]
POLICY = [
    ("words", "", {}, JOBS, "this registry is not on our list"),
    ("named", "", {}, JOBS, "is not signed"),
    ("plain", "", {}, JOBS, "failed expression"),
    ("forbidden", "", {}, JOBS, "denied request: no"),
    ("x", CAPS, LARGE, JOBS, "failed expression"),
    ("x", 'memory_limit = "4Gi"', {}, OPERATORS, "failed expression"),
    ("x", f'{CAPS}\n[kubernetes.pod_labels]\nlarge = "x"', {"KUBERNETES_MEMORY_LIMIT": "1Gi"}, JOBS, "too large"),
    ("x", 'memory_limit = "1Gi"\n[kubernetes.pod_labels]\nlarge = "x"', {}, OPERATORS, "too large"),
    ("x", '[kubernetes.pod_labels]\ndeny = "x"', {}, OPERATORS, "the label deny may not be set"),
    ("x", '[kubernetes.pod_labels]\nsecure = "x"', {}, OPERATORS, "runAsNonRoot"),
    ("x", '[kubernetes.pod_labels]\nbroken = "x"', {}, OPERATORS, "resulted in error"),
]
"""Kind of image, settings, the job's variables; whose failure it is, and what its log says."""
HOOK = [
    ("silent", "", {}, JOBS, "denied the request"),
    ("words", "", {}, JOBS, "not on our list"),
    ("code", "", {}, JOBS, "this image has no signature"),
    ("sizes", CAPS, LARGE, JOBS, "too much memory"),
    ("sizes", 'memory_limit = "4Gi"', {}, OPERATORS, "too much memory"),
    ("labels", "", {}, OPERATORS, "the label team is missing"),
    ("hang", "", {}, OPERATORS, "failed calling webhook"),
    ("garbage", "", {}, OPERATORS, "failed calling webhook"),
    ("status", "", {}, OPERATORS, "failed calling webhook"),
]


@pytest.fixture
def policy(lab: ClusterLab) -> Iterator[None]:
    """Have a policy, built into the API server, for the pods of the test's namespace."""
    name = f"policy-{NAMESPACE}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    kinds = {
        "ValidatingAdmissionPolicy": {"matchConstraints": {"resourceRules": [rule]}, "validations": VALIDATIONS},
        "ValidatingAdmissionPolicyBinding": {
            "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector},
        },
    }  # fmt: skip
    for kind, spec in kinds.items():
        document = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        lab.kubectl("apply", "-f", "-", text=json.dumps(document))
    wait_until(lambda: "denied request" in denial(lab, "localhost/words/x:1"))
    yield
    for kind in kinds:
        lab.kubectl("delete", kind, name)


@pytest.fixture
def webhook(lab: ClusterLab, tmp_path: Path) -> Iterator[None]:
    if lab.cluster is None:
        pytest.skip("a webhook in the cluster's network needs a cluster of our own")
    with Webhook(tmp_path, listener=listener_inside(lab.cluster.init, address="127.0.0.1")) as hook:
        document = hook.configuration(NAMESPACE)
        lab.kubectl("apply", "-f", "-", text=json.dumps(document))
        wait_until(lambda: "denied the request" in denial(lab, "localhost/hook/words/x:1"))
        yield
        lab.kubectl("delete", document["kind"], document["metadata"]["name"])


def denial(lab: ClusterLab, image: str) -> str:
    """Return what the API server says about a pod that is not to be created."""
    container = {"name": "build", "image": image}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {"x": "x"}},
        "spec": {"containers": [container]},
    }
    argv = ["create", "-n", NAMESPACE, "--dry-run=server", "-f", "-"]
    return lab.refusal(*argv, text=json.dumps(pod))


def outcomes(runner: Callable[..., Runner], cases: list[Any], prefix: str) -> list[str]:
    """Run the jobs, a few at a time; return what is not as it must be."""
    made = [runner(settings, top="[budgets]\napi_seconds = 3") for _, settings, *_ in cases]

    def run(number: int) -> Outcome:
        kind, _, variables, *_ = cases[number]
        image = {"name": f"localhost/{prefix}{kind}/app:1", "entrypoint": [""]}
        return made[number].run(payload(["true"], image=image, variables=variables, job_info=job_named(f"{kind} {number}")))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(len(cases))))
    return [
        f"{case}: {outcome.reason} {outcome.stages}\n{outcome.text}"
        for case, outcome in zip(cases, found, strict=True)
        if outcome.reason != case[3] or case[4] not in outcome.text or (case[3] == JOBS and outcome.stages != ONCE)
    ]


@pytest.mark.usefixtures("policy")
def test_a_policy_that_denies_a_pod_is_blamed_on_whose_value_it_is_about(runner: Callable[..., Runner]) -> None:
    found = outcomes(runner, POLICY, "")
    assert not found, "\n".join(found)


@pytest.mark.usefixtures("webhook")
def test_a_webhook_that_denies_a_pod_is_blamed_on_whose_value_it_is_about(runner: Callable[..., Runner]) -> None:
    found = outcomes(runner, HOOK, "hook/")
    assert not found, "\n".join(found)
