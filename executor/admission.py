"""Whose value the API server objects to when it does not take a pod: the job's, or the operator's. Pure.

Quotas, limit ranges, Pod Security, service accounts and webhooks all answer 403 `Forbidden`; what they object to is in the
server's message, or in the fields that a Status names. A job chooses little (`PodPlan.chosen`): the rest is the operator's.
Source: Kubernetes plugin/pkg/admission, staging/src/k8s.io/pod-security-admission, apimachinery pkg/api/errors.
"""

import re

from executor import errors
from executor.plan import PodPlan
from executor.units import QuantityError, parse_bytes, parse_millicores

_RESOURCES = ("ephemeral-storage", "memory", "cpu")
_LIMIT_RANGE = re.compile(
    r"\b(?:maximum|minimum) (cpu|memory|ephemeral-storage) usage per "
    r"|\b(cpu|memory|ephemeral-storage) max limit to request ratio"
)
_POD_SECURITY = re.compile(r'violates PodSecurity "[^"]*": (.*)', re.DOTALL)
_WEBHOOK = re.compile(
    r'admission webhook "[^"]*" denied the request|ValidatingAdmissionPolicy .* denied request|image policy webhook'
)
_EXPRESSION = re.compile(r"ValidatingAdmissionPolicy .* denied request: failed expression: (.*)", re.DOTALL)
_READ_BY_EXPRESSIONS = {
    "image": r"\.image\b",
    "entrypoint": r"\.(?:command|args)\b",
    "pull policy": r"\.imagePullPolicy\b",
    "user": r"\.runAs(?:User|Group)\b",
}
_FIELD = re.compile(r"\b(?:spec|metadata)[./][\w./\[\]-]+")
_CONTAINER = re.compile(r"spec[./]containers[\[./](\d+)[\]./]*(.*)")
_QUOTA = re.compile(r"requested: (.*?), used: .*?, limited: ([^\s]+)")
_OPERATORS_WORDS = re.compile(
    r"privileged|capabilit|seccomp|hostpath|host ?network|nonroot|root ?filesystem|escalation|security ?context"
    r"|service ?account|priority ?class|runtime ?class|node ?selector|toleration|affinity|labels?\b|annotations?\b"
    r"|deadline|grace ?period",
    re.IGNORECASE,
)
_ADVICE = (  # what the server says -> what the operator can do
    ("serviceaccount|service account", "see kubernetes.service_account"),
    ("PriorityClass", "see kubernetes.priority_class_name"),
    ("RuntimeClass", "see kubernetes.runtime_class_name"),
    ("violates PodSecurity", "set `hardened = true`, or the namespace's label pod-security.kubernetes.io/enforce"),
    ("being terminated", "the namespace is being deleted: see kubernetes.namespace"),
    ("must specify", "set the requests and limits that the quota asks for, in [kubernetes], for the build and the helper"),
    ("usage per|request ratio", "the namespace's LimitRange does not allow the sizes in [kubernetes]"),
    ("node label selector", "see kubernetes.node_selector"),
    ("toleration", "see kubernetes.node_tolerations"),
)


def refusal(error: errors.Forbidden | errors.Rejected, plan: PodPlan) -> errors.DriverError:
    """Return the error for a pod that the API server will not take: the job's failure if it objects to the job's value."""
    if _is_jobs(error, plan):
        return errors.RequestError(f"the cluster does not admit this job's pod: {error}")
    advice = next((text for pattern, text in _ADVICE if re.search(pattern, error.said, re.IGNORECASE)), "see [kubernetes]")
    return errors.SettingsError(f"the cluster does not take pods with the operator's settings: {error}; {advice}")


def never_fits(error: errors.OverQuota, plan: PodPlan) -> errors.DriverError | None:
    """Return the error for a pod that asks for more than a quota has in all; None if waiting may help."""
    found = _QUOTA.search(error.said)
    if found is None:
        return None
    requested, limited = _amounts(found[1]), _amounts(found[2])
    # Of sizes alone: a pod is one pod, and a quota of no pods at all is an operator's pause.
    beyond = [name for name, amount in requested.items() if amount > limited.get(name, amount) and _resources_in(name)]
    if not beyond:
        return None
    resources = {resource for name in beyond for resource in _resources_in(name)}
    text = f"the pod asks for more {', '.join(beyond)} than the namespace's quota has in all: {error}"
    if _chose_size(resources, plan):
        return errors.RequestError(f"{text}; lower the job's KUBERNETES_* sizes")
    return errors.SettingsError(f"{text}; lower the sizes in [kubernetes]")


def sizes_of_job(plan: PodPlan) -> frozenset[str]:
    """Return the resources, by their names in Kubernetes, whose requests are not simply the operator's defaults.

    The job has chosen them, or they come from what earlier builds and attempts of it needed.
    """
    found = {key.removeprefix("helper ") for key in plan.chosen} & set(_RESOURCES)
    kubernetes, size = plan.settings.kubernetes, plan.build.size
    given = {
        "cpu": (kubernetes.cpu_request, size.cpu_request_millicores, parse_millicores),
        "memory": (kubernetes.memory_request, size.memory_request_bytes, parse_bytes),
        "ephemeral-storage": (kubernetes.ephemeral_storage_request, size.disk_request_bytes, parse_bytes),
    }
    return frozenset(
        found | {name for name, (text, value, parse) in given.items() if value != (parse(text) if text else None)}
    )


def _is_jobs(error: errors.Forbidden | errors.Rejected, plan: PodPlan) -> bool:
    """Return whether the server objects to what the job has chosen."""
    image, names_image = plan.build.image, plan.build.image in error.said and "image" in plan.chosen
    said = error.said.replace(image, " ")  # the name's own words say nothing
    limits = {first or second for first, second in _LIMIT_RANGE.findall(said)}
    if limits:
        return _chose_size(limits, plan)
    security = _POD_SECURITY.search(said)
    if security is not None:
        violations = re.sub(r"\([^()]*\)", "", security[1]).split(",")
        return "user" in plan.chosen and all(one.strip().startswith("runAsUser") for one in violations)
    expression = _EXPRESSION.search(said)
    if expression is not None:
        return _chose_what_is_read(expression[1], plan)
    fields = error.fields or tuple(_FIELD.findall(said))
    if fields:
        return any(_chose_field(field, said, plan) for field in fields)
    if not _WEBHOOK.search(said):
        return False
    if names_image or said.startswith("image policy webhook"):
        return "image" in plan.chosen
    sizes = {resource for resource in _RESOURCES if re.search(rf"\b{resource}\b", said)}
    if sizes or re.search(r"\b(?:limits|requests|resources)\b", said):
        return _chose_size(sizes, plan)
    # Its author's own words: if they name nothing of the operator's, only the job's image is left to differ.
    return "image" in plan.chosen and not _OPERATORS_WORDS.search(_WEBHOOK.sub(" ", said))


def _resources_in(name: str) -> list[str]:
    """Return which resource a quota's key is about: one for `limits.cpu`, none for `pods`."""
    return [resource for resource in _RESOURCES if resource in name]


def _chose_size(resources: set[str], plan: PodPlan) -> bool:
    """Return whether the job has chosen the size of one of the resources, or of any if none is named."""
    chosen = {key.removeprefix("helper ") for key in plan.chosen}
    return bool(chosen & (resources or set(_RESOURCES)))


def _chose_field(field: str, said: str, plan: PodPlan) -> bool:
    """Return whether the job has chosen the value of a field of the pod."""
    container = _CONTAINER.match(field)
    if container is None:
        return False
    prefix, rest = ("", "helper ")[container[1] != "0"], container[2]
    if rest.startswith("resources"):
        named = {resource for resource in _RESOURCES if resource in (rest if rest != "resources" else said)}
        return any(f"{prefix}{resource}" in plan.chosen for resource in named or _RESOURCES)
    parts = {
        "image": "image",
        "command": "entrypoint",
        "args": "entrypoint",
        "imagePullPolicy": "pull policy",
        "securityContext[./]runAs(User|Group)": "user",
    }
    part = next((ours for path, ours in parts.items() if re.match(rf"{path}(?:[./\[\]]|$)", rest)), "")
    return not prefix and part in plan.chosen


def _chose_what_is_read(expression: str, plan: PodPlan) -> bool:
    """Return whether the expression of a policy without a message reads a value that the job has chosen."""
    if any(part in plan.chosen and re.search(pattern, expression) for part, pattern in _READ_BY_EXPRESSIONS.items()):
        return True
    named = {resource for resource in _RESOURCES if re.search(rf"\b{resource}\b", expression)}
    return "resources" in expression and _chose_size(named, plan)


def _amounts(text: str) -> dict[str, int]:
    """Return `requests.memory=2Gi,pods=1` as numbers of one scale; what is not a quantity is left out."""
    found = {}
    for pair in text.split(","):
        name, _, amount = pair.partition("=")
        try:
            found[name.strip()] = parse_millicores(amount)
        except QuantityError:
            continue
    return found
