"""The rights that the driver needs in the namespace of its pods: the rules of docs/reference/rbac.yaml as values. Pure.

A test holds the two equal. Source: Kubernetes API, authorization.k8s.io/v1 SelfSubjectAccessReview.
"""

from typing import Any

import msgspec

from executor.checks.finding import Finding, Kind, fault, note, ok

REVIEWS_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_APPLY = "kubectl apply -f docs/reference/rbac.yaml, with its namespace set to"
_EXEC_CREATE_SINCE = (1, 35)


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the Role."""

    resource: str
    """As a Role names it: `pods/exec` is a part of pods."""
    verbs: tuple[str, ...]
    use: str
    """What fails without it."""


RIGHTS = (
    Right(resource="pods", verbs=("create", "get", "watch", "patch", "delete"), use="one pod for each job"),
    Right(resource="pods/exec", verbs=("get",), use="scripts and their output"),
    Right(resource="pods/log", verbs=("get",), use="what an image offers"),
    Right(resource="events", verbs=("list",), use="why a pod does not start"),
    Right(resource="secrets", verbs=("create", "patch", "delete"), use="logins to image registries"),
    Right(resource="configmaps", verbs=("create", "get", "patch"), use="the program in the pod, and the attempt history"),
)


def needed(version: tuple[int, int] | None) -> tuple[Right, ...]:
    """Return the rights that a server of a version asks for; None where the version is not known."""
    if version is None or version < _EXEC_CREATE_SINCE:
        return RIGHTS
    # An exec over a WebSocket is a GET; from this version on the server wants the right to create it as well.
    more = {"pods/exec": ("get", "create")}
    return tuple(msgspec.structs.replace(right, verbs=more.get(right.resource, right.verbs)) for right in RIGHTS)


def review(right: Right, verb: str, *, namespace: str) -> dict[str, Any]:
    """Return the question whether this user may do something in a namespace."""
    resource, _, part = right.resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": "", "resource": resource}
    if part:
        attributes["subresource"] = part
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def is_allowed(answer: dict[str, Any]) -> bool | None:
    """Return what the server has answered; None where it says nothing that can be read."""
    status = answer.get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    return allowed if isinstance(allowed, bool) else None


def judge(right: Right, answers: dict[str, bool | None], *, namespace: str) -> Finding:
    """Return what the answers about a right's verbs come to."""
    missing = [verb for verb in right.verbs if answers.get(verb) is False]
    unknown = [verb for verb in right.verbs if answers.get(verb) is None]
    subject = f"right to {right.resource}"
    if missing:
        text = f"this user cannot {' or '.join(missing)} {right.resource} in namespace {namespace}: {right.use}"
        return fault(subject, text, f"{_APPLY} {namespace}", kind=Kind.REFUSED)
    if unknown:
        return note(subject, f"the server does not say whether this user can {' or '.join(unknown)} {right.resource}")
    return ok(subject, f"{', '.join(right.verbs)} in namespace {namespace}")
