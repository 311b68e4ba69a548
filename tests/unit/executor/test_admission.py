"""Whose failure it is that the API server does not take a pod: by whose value it objects to, in the server's own words."""

from typing import Any

import msgspec
import pytest

from executor.admission import never_fits, refusal, sizes_of_job
from executor.errors import Blame, Forbidden, OverQuota, Rejected
from executor.job import Job
from executor.plan import PodPlan, make_plan
from executor.settings import load_settings
from executor.size_table import MeasuredSize
from executor.sizes import NOTHING_KNOWN, PastUse

POD = 'pods "job-7-0" is forbidden: '
SIZES = {"KUBERNETES_MEMORY_REQUEST": "64Gi", "KUBERNETES_MEMORY_LIMIT": "64Gi"}
CAPS = {"memory_request_overwrite_max_allowed": "99Gi", "memory_limit_overwrite_max_allowed": "99Gi"}
CAPS |= {"cpu_request_overwrite_max_allowed": "99", "helper_memory_limit_overwrite_max_allowed": "99Gi"}
USER = {"executor_opts": {"kubernetes": {"user": "0"}}}


def plan(
    image: dict[str, Any] | None = None, *, variables: dict[str, str] | None = None, past: PastUse = NOTHING_KNOWN
) -> PodPlan:
    base = load_settings(None)
    settings = msgspec.structs.replace(base, kubernetes=msgspec.structs.replace(base.kubernetes, image="default:1", **CAPS))
    job = msgspec.convert({"id": 7, "image": image}, Job)
    return make_plan(job, settings, variables or {}, namespace="ns", attempt="a", past=past).plan


NAMED = {"name": "registry.example/team/privileged:1"}
OPERATORS = [
    'error looking up service account ns/runner: serviceaccount "runner" not found',
    "no PriorityClass with name batch was found",
    'pod rejected: RuntimeClass "gvisor" not found',
    (
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "build" must set '
        'securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container "build" must set it)'
    ),
    "unable to create new content in namespace ns because it is being terminated",
    "failed quota: team: must specify limits.cpu for: build,helper; limits.memory for: build,helper",
    "pod node label selector conflicts with its namespace node label selector",
    "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist",
    "maximum memory usage per Container is 1Gi, but limit is 2Gi",
    "[minimum cpu usage per Container is 100m.  No request is specified, minimum memory usage per Pod is 1Gi]",
    "PodSecurityPolicy: unable to admit pod: []",
    "unable to validate against any security context constraint: [spec.containers[0].securityContext.capabilities.add]",
    "a plugin of a later Kubernetes says no",
]


@pytest.mark.parametrize("said", OPERATORS)
@pytest.mark.parametrize("image", [None, NAMED])
def test_what_the_operator_has_set_is_a_system_failure(said: str, image: dict[str, Any] | None) -> None:
    error = refusal(Forbidden(f"POST: {POD}{said}", said=POD + said), plan(image))
    assert error.blame is Blame.SYSTEM, error
    assert said in str(error)


@pytest.mark.parametrize(
    ("said", "image", "variables", "blame"),
    [
        # a limit range, by whose size it is
        ("maximum memory usage per Container is 1Gi, but limit is 64Gi", NAMED, SIZES, Blame.BUILD),
        ("maximum cpu usage per Container is 1, but limit is 2", NAMED, SIZES, Blame.SYSTEM),
        ("memory max limit to request ratio per Container is 2, but provided ratio is 4.000000", NAMED, SIZES, Blame.BUILD),
        # Pod Security: only the user may be the job's
        ('violates PodSecurity "baseline:latest": runAsUser=0 (container "build" must not set runAsUser=0)',
         NAMED | USER, {}, Blame.BUILD),
        ('violates PodSecurity "restricted:latest": runAsNonRoot != true (x), runAsUser=0 (container "build" must not)',
         NAMED | USER, {}, Blame.SYSTEM),
        ('violates PodSecurity "baseline:latest": runAsUser=0 (container "build" must not set runAsUser=0)',
         NAMED, {}, Blame.SYSTEM),
        # OpenShift names fields
        (("unable to validate against any security context constraint: [provider anyuid: spec.containers[0].securityContext."
         "runAsUser: Invalid value: 0: must be in the ranges: [1000, 2000]]"), NAMED | USER, {}, Blame.BUILD),
        (("unable to validate against any security context constraint: [provider anyuid: spec.containers[0].securityContext."
         "runAsUser: Invalid value: 0: must be in the ranges: [1000, 2000]]"), NAMED, {}, Blame.SYSTEM),
    ],
)  # fmt: skip
def test_a_plugins_refusal_is_blamed_on_whose_value_it_names(
    said: str, image: dict[str, Any], variables: dict[str, str], blame: Blame
) -> None:
    assert refusal(Forbidden(POD + said, said=POD + said), plan(image, variables=variables)).blame is blame


HOOK = 'admission webhook "policy.example" denied the request: '


@pytest.mark.parametrize(
    ("said", "image", "variables", "blame"),
    [
        ("no", NAMED, {}, Blame.BUILD),
        ("no", None, {}, Blame.SYSTEM),
        ("[repos] container <build> has an invalid image repo <registry.example/team/privileged:1>", NAMED, {}, Blame.BUILD),
        ("the image default:1 is not signed", None, {}, Blame.SYSTEM),
        ("[privileged] Privileged container is not allowed: build", NAMED, {}, Blame.SYSTEM),
        ("you must provide labels: {team}", NAMED, {}, Blame.SYSTEM),
        ("service account runner may not create pods here", NAMED, {}, Blame.SYSTEM),
        ("container <build> has no memory limit", NAMED, {}, Blame.SYSTEM),
        ("container <build> has a memory limit of 64Gi, more than 32Gi", NAMED, SIZES, Blame.BUILD),
        ("container <build> has no cpu limit", NAMED, SIZES, Blame.SYSTEM),
        ("rule autogen failed at path /spec/containers/0/image/", NAMED, {}, Blame.BUILD),
        ("rule autogen failed at path /spec/containers/1/image/", NAMED, {}, Blame.SYSTEM),
        ("rule autogen failed at path /spec/containers/0/securityContext/runAsUser/", NAMED | USER, {}, Blame.BUILD),
        ("rule autogen failed at path /spec/containers/0/resources/limits/memory/", NAMED, SIZES, Blame.BUILD),
        ("rule autogen failed at path /spec/hostNetwork/", NAMED, {}, Blame.SYSTEM),
    ],
)  # fmt: skip
def test_a_webhooks_refusal_is_blamed_on_whose_value_it_names(
    said: str, image: dict[str, Any] | None, variables: dict[str, str], blame: Blame
) -> None:
    assert refusal(Forbidden(HOOK + said, said=HOOK + said), plan(image, variables=variables)).blame is blame


POLICY = f"{POD}ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
BUILD = "object.spec.containers[0]"


@pytest.mark.parametrize(
    ("said", "image", "variables", "blame"),
    [
        ("no", NAMED, {}, Blame.BUILD),
        ("no", None, {}, Blame.SYSTEM),
        ("failed expression: object.spec.containers.all(c, c.image.startsWith('a/'))", NAMED, {}, Blame.BUILD),
        ("failed expression: object.spec.containers.all(c, c.image.startsWith('a/'))", None, {}, Blame.SYSTEM),
        (f"failed expression: {BUILD}.securityContext.runAsUser > 0", NAMED | USER, {}, Blame.BUILD),
        (f"failed expression: {BUILD}.securityContext.runAsUser > 0", NAMED, {}, Blame.SYSTEM),
        (f"failed expression: quantity({BUILD}.resources.limits.memory).compareTo(quantity('1Gi')) < 0",
         NAMED, SIZES, Blame.BUILD),
        (f"failed expression: quantity({BUILD}.resources.limits.memory).compareTo(quantity('1Gi')) < 0",
         NAMED, {}, Blame.SYSTEM),
        (f"failed expression: quantity({BUILD}.resources.limits['cpu']).compareTo(quantity('1')) < 0",
         NAMED, SIZES, Blame.SYSTEM),
        (f"failed expression: has({BUILD}.resources.limits)", NAMED, SIZES, Blame.BUILD),
        (f"failed expression: {BUILD}.imagePullPolicy == 'Always'", NAMED | {"pull_policy": "never"}, {}, Blame.BUILD),
        (f"failed expression: {BUILD}.imagePullPolicy == 'Always'", NAMED, {}, Blame.SYSTEM),
        (f"failed expression: !has({BUILD}.command)", NAMED | {"entrypoint": ["/x"]}, {}, Blame.BUILD),
        ("failed expression: object.spec.hostNetwork == false", NAMED | USER, SIZES, Blame.SYSTEM),
        ("failed expression: 'team' in object.metadata.labels", NAMED, SIZES, Blame.SYSTEM),
        ("failed expression: object.spec.imagePullSecrets.size() == 0", NAMED, {}, Blame.SYSTEM),
        (f"expression '{BUILD}.x.image' resulted in error: no such key: x", NAMED, {}, Blame.SYSTEM),
    ],
)  # fmt: skip
def test_a_policys_refusal_is_blamed_on_whose_value_it_is_about(
    said: str, image: dict[str, Any] | None, variables: dict[str, str], blame: Blame
) -> None:
    base = plan(None)
    settings = base.settings
    allowed = msgspec.structs.replace(settings.kubernetes, allowed_pull_policies=["never"])
    job = msgspec.convert({"id": 7, "image": image}, Job)
    made = make_plan(job, msgspec.structs.replace(settings, kubernetes=allowed), variables, namespace="ns", attempt="a").plan
    assert refusal(Rejected(POLICY + said, said=POLICY + said), made).blame is blame


@pytest.mark.parametrize(
    ("fields", "image", "variables", "blame"),
    [
        (("spec.containers[0].image",), NAMED, {}, Blame.BUILD),
        (("spec.containers[0].image",), None, {}, Blame.SYSTEM),
        (("spec.containers[1].image",), NAMED, {}, Blame.SYSTEM),
        (("spec.containers[0].securityContext.runAsUser",), NAMED | USER, {}, Blame.BUILD),
        (("spec.containers[0].securityContext.capabilities.add[0]",), NAMED | USER, {}, Blame.SYSTEM),
        (("spec.containers[0].resources.limits[memory]",), NAMED, SIZES, Blame.BUILD),
        (("spec.containers[0].resources.limits[memory]",), NAMED, {}, Blame.SYSTEM),
        (("spec.containers[1].resources.limits[memory]",), NAMED, SIZES, Blame.SYSTEM),
        (("spec.containers[1].resources.limits[memory]",), NAMED, {"KUBERNETES_HELPER_MEMORY_LIMIT": "1Gi"}, Blame.BUILD),
        (("spec.containers[0].command[0]",), NAMED | {"entrypoint": ["/x"]}, {}, Blame.BUILD),
        (("spec.tolerations[0].effect",), NAMED, SIZES, Blame.SYSTEM),
        (("spec.nodeSelector",), NAMED, {}, Blame.SYSTEM),
        (("spec.serviceAccountName",), NAMED, {}, Blame.SYSTEM),
        (("spec.imagePullSecrets[0].name",), NAMED, {}, Blame.SYSTEM),
        (("metadata.labels",), NAMED, {}, Blame.SYSTEM),
        (("metadata.namespace",), NAMED, {}, Blame.SYSTEM),
    ],
)  # fmt: skip
def test_a_field_that_a_status_names_is_blamed_on_who_has_chosen_it(
    fields: tuple[str, ...], image: dict[str, Any] | None, variables: dict[str, str], blame: Blame
) -> None:
    error = Rejected('Pod "x" is invalid: …', said='Pod "x" is invalid: …', fields=fields)
    assert refusal(error, plan(image, variables=variables)).blame is blame


def test_a_field_in_the_message_alone_counts_too() -> None:
    said = 'Pod "x" is invalid: spec.containers[0].image: Required value'
    assert refusal(Rejected(said), plan(NAMED)).blame is Blame.BUILD
    assert refusal(Rejected("Pod in version v1 cannot be handled as a Pod"), plan(NAMED)).blame is Blame.SYSTEM


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('error looking up service account ns/x: serviceaccount "x" not found', "see kubernetes.service_account"),
        ("no PriorityClass with name batch was found", "see kubernetes.priority_class_name"),
        ('pod rejected: RuntimeClass "gvisor" not found', "see kubernetes.runtime_class_name"),
        ('violates PodSecurity "restricted:latest": runAsNonRoot != true (x)', "set `hardened = true`"),
        ("unable to create new content in namespace ns because it is being terminated", "the namespace is being deleted"),
    ],
)
def test_the_operator_is_told_which_setting_it_is(said: str, advice: str) -> None:
    assert advice in str(refusal(Forbidden(POD + said, said=POD + said), plan(NAMED)))


QUOTA = POD + "exceeded quota: team, requested: {}, used: {}, limited: {}"


@pytest.mark.parametrize(
    ("requested", "used", "limited", "variables", "blame"),
    [
        ("requests.memory=64Gi", "requests.memory=0", "requests.memory=32Gi", SIZES, Blame.BUILD),
        ("requests.memory=64Gi", "requests.memory=0", "requests.memory=32Gi", {}, Blame.SYSTEM),
        ("limits.cpu=8,pods=1", "limits.cpu=0,pods=0", "limits.cpu=4,pods=9", SIZES, Blame.SYSTEM),
        ("requests.memory=64Gi", "requests.memory=32Gi", "requests.memory=64Gi", SIZES, None),
        ("pods=1", "pods=9", "pods=9", SIZES, None),
        ("pods=1", "pods=0", "pods=0", SIZES, None),
        ("count/secrets=1", "count/secrets=0", "count/secrets=0", SIZES, None),
        ("cpu=500m,memory=1Gi", "cpu=3800m,memory=0", "cpu=4,memory=8Gi", SIZES, None),
        ("some.example/thing=many", "x=1", "some.example/thing=few", SIZES, None),
    ],
)
def test_a_pod_that_is_larger_than_a_whole_quota_is_not_waited_for(
    requested: str, used: str, limited: str, variables: dict[str, str], blame: Blame | None
) -> None:
    error = never_fits(OverQuota(QUOTA.format(requested, used, limited)), plan(NAMED, variables=variables))
    assert (error.blame if error else None) is blame


@pytest.mark.parametrize(
    ("variables", "past", "sizes"),
    [
        ({}, PastUse(), set()),
        ({"KUBERNETES_MEMORY_REQUEST": "64Gi"}, PastUse(), {"memory"}),
        ({"KUBERNETES_MEMORY_LIMIT": "64Gi"}, PastUse(), {"memory"}),
        ({"KUBERNETES_CPU_REQUEST": "64"}, PastUse(), {"cpu"}),
        ({"KUBERNETES_HELPER_MEMORY_LIMIT": "64Gi"}, PastUse(), {"memory"}),
        ({"KUBERNETES_EPHEMERAL_STORAGE_REQUEST": "64Gi"}, PastUse(), set()),  # it has no cap: the operator allows none
        ({}, PastUse(measured=MeasuredSize(memory_bytes=64 << 30)), {"memory"}),
        ({}, PastUse(memory_killed_at_bytes=64 << 30), {"memory"}),
    ],
)
def test_a_size_is_the_jobs_unless_it_is_the_operators_default(
    variables: dict[str, str], past: PastUse, sizes: set[str]
) -> None:
    assert sizes_of_job(plan(variables=variables, past=past)) == sizes
