"""Asks the cluster what a job would find there: the API server, its clock, the rights, pull secrets, a pod that is not made.

Nothing is created: what would be is sent as a dry run, which the server checks and forgets.
Source: Kubernetes API concepts, "Dry-run"; RFC 7231, 7.1.1.1 (`Date`).
"""

import base64
import binascii
import email.utils
import functools
import json
import re
import ssl
import time
from collections.abc import Callable
from typing import Any

from executor import errors
from executor.admission import never_fits, refusal
from executor.checks import rights
from executor.checks.finding import Finding, Kind, fault, note, ok
from executor.checks.validity import certificate_ends, token_end
from executor.credentials import Credentials
from executor.kube import Api, pods_path, secrets_path
from executor.manifest import pod_manifest
from executor.plan import PodPlan
from executor.pull_errors import registry_of

CALL_SECONDS = 4.0
"""For one step of a call, such as to connect; the whole of a target has a second more."""
_DRY_RUN = {"dryRun": "All"}
_SOON_SECONDS = 7 * 86400.0
_FAULTY_SKEW_SECONDS = 30.0
_VISIBLE_SKEW_SECONDS = 3.0
_HUB_KEYS = ("https://index.docker.io/v1/", "docker.io", "index.docker.io")
_SECRET_TYPES = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_KUBECONFIG = "see kubernetes.kubeconfig and kubernetes.context"

# What a connection failed of -> what to do. Of the first class that the error belongs to.
_CONNECTING: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "correct certificate-authority in the kubeconfig, or renew the server's certificate"),
    (ssl.SSLError, "does `server` in the kubeconfig name the API server's own port, usually 6443?"),
    (TimeoutError, "a firewall or a proxy may hold the packets: see `server`, `proxy-url` and NO_PROXY"),
    (ConnectionRefusedError, "nothing listens there: correct `server` in the kubeconfig, or start the API server"),
    (OSError, "correct `server` in the kubeconfig, or the machine's name servers and routes"),
)


def connect(credentials: Credentials) -> Api:
    """Return a connection of its own for one target."""
    return Api(credentials, timeout_seconds=CALL_SECONDS)


def access_findings(credentials: Credentials, *, now: float) -> list[Finding]:
    """Return what the credentials themselves say: whose they are, and whether they end soon."""
    subject = "access"
    found = []
    ends = {
        "the client certificate": min(certificate_ends(credentials.client_certificate), default=None),
        "the authority's certificate": max(certificate_ends(credentials.authority), default=None),
        "the token": token_end(credentials.token),
    }
    for what, end in ends.items():
        if end is None:
            continue
        day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
        if end <= now:
            found.append(fault(subject, f"{what} has expired on {day}", f"renew it; {_KUBECONFIG}"))
        elif end <= now + _SOON_SECONDS and credentials.source.kubeconfig:
            found.append(note(subject, f"{what} expires on {day}", "renew it before"))
    if not credentials.verify:
        found.append(
            note(subject, "the server's certificate is not checked", "replace insecure-skip-tls-verify by its authority")
        )
    return [ok(subject, f"{credentials.server}, by {credentials.source.tried.removeprefix('tried ')}"), *found]


def server_findings(credentials: Credentials, *, now: Callable[[], float]) -> tuple[list[Finding], tuple[int, int] | None]:
    """Return whether the API server answers, its version and its clock; the version for the rights."""
    api = connect(credentials)
    try:
        answer = api.call("GET", "/version")
        at = now()
    except errors.ClusterError as error:
        return [unreachable(error)], None
    finally:
        api.close()
    version = _version(answer)
    shown = str(answer.get("gitVersion") or "of an unknown version")[:60]
    return [ok("API server", f"it answers; Kubernetes {shown}"), clock_finding(api.date, at)], version


def unreachable(error: errors.ClusterError) -> Finding:
    """Return the finding for an API server that does not answer, or rejects the credentials."""
    if isinstance(error, errors.Unauthorized):
        advice = f"the token or certificate is wrong, or has expired: renew it; {_KUBECONFIG}"
        return fault("API server", f"it rejects the credentials: {error}", advice)
    if isinstance(error, errors.Unavailable):
        cause = error.__cause__
        advice = next((text for kind, text in _CONNECTING if isinstance(cause, kind)), "it may answer later: try again")
        reason = str(getattr(cause, "verify_message", "") or error)
        text = reason if cause is None or reason == str(error) else f"{reason} ({error})"
        return fault("API server", text, advice, kind=Kind.SILENT)
    return fault("API server", str(error), f"is this the address of an API server? {_KUBECONFIG}", kind=Kind.REFUSED)


def clock_finding(date: str, now: float) -> Finding:
    """Return how far this machine's clock is from the server's, by an answer's `Date`."""
    try:
        server = email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return note("clock", "the API server's answer has no date: whether the clocks agree is not known")
    skew = now - server - 0.5  # the header has whole seconds
    if abs(skew) < _VISIBLE_SKEW_SECONDS:
        return ok("clock", "it agrees with the API server's")
    text = f"it is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server's"
    advice = "let NTP set both clocks, such as by `timedatectl set-ntp true`"
    if abs(skew) < _FAULTY_SKEW_SECONDS:
        return note("clock", text, advice)
    return fault("clock", f"{text}: tokens and certificates are valid too early or too late", advice, kind=Kind.REFUSED)


def right_findings(credentials: Credentials, right: rights.Right, *, namespace: str) -> list[Finding]:
    """Return whether the credentials' user has a right of the Role in the namespace."""
    api = connect(credentials)
    try:
        answers = {
            verb: rights.is_allowed(
                api.call("POST", rights.REVIEWS_PATH, body=rights.review(right, verb, namespace=namespace))
            )
            for verb in right.verbs
        }
    except errors.ClusterError as error:
        return [note(f"right to {right.resource}", f"it cannot be asked for: {error}")]
    finally:
        api.close()
    return [rights.judge(right, answers, namespace=namespace)]


def pod_findings(credentials: Credentials, plan: PodPlan) -> list[Finding]:
    """Return whether the server would take the pod of a job: all of admission runs, and no pod is made."""
    api = connect(credentials)
    try:
        api.call("POST", pods_path(plan.namespace), body=pod_manifest(plan), query=_DRY_RUN)
    except errors.NotPermitted as error:
        return [note("pod", f"it could not be tried: {error}")]
    except errors.OverQuota as error:
        hopeless = never_fits(error, plan)
        if hopeless is None:
            return [
                note("pod", f"the namespace's quota is used up at present: {error}", "jobs wait for budgets.quota_seconds")
            ]
        return [fault("pod", str(hopeless), "raise the quota, or lower the sizes in [kubernetes]", kind=Kind.REFUSED)]
    except errors.NotFound as error:
        return [
            fault(
                "pod",
                str(error),
                f"kubectl create namespace {plan.namespace}, or correct kubernetes.namespace",
                kind=Kind.REFUSED,
            )
        ]
    except (errors.Forbidden, errors.Rejected) as error:
        text, _, advice = str(refusal(error, plan)).rpartition("; ")
        return [fault("pod", text or advice, advice, kind=Kind.REFUSED)]
    except errors.ClusterError as error:
        return [unreachable(error)]
    finally:
        api.close()
    return [ok("pod", f"the server would take the pod of a job, with image {plan.build.image} (dry run)")]


def pull_secret_findings(credentials: Credentials, name: str, *, namespace: str, images: list[str]) -> list[Finding]:
    """Return what can be known of a pull secret. An empty change as a dry run shows it without the right to read secrets."""
    subject = f"pull secret {name}"
    api = connect(credentials)
    try:
        secret = api.call("PATCH", secrets_path(namespace, name), body={}, query=_DRY_RUN)
    except errors.NotFound:
        advice = f"kubectl create secret docker-registry {name} -n {namespace} …, or correct kubernetes.image_pull_secrets"
        return [fault(subject, f"it does not exist in namespace {namespace}", advice, kind=Kind.REFUSED)]
    except errors.ClusterError as error:
        return [note(subject, f"it cannot be looked at: {error}")]
    finally:
        api.close()
    kind = str(secret.get("type") or "without a type")
    registries = registries_of(secret)
    if registries is None:
        advice = f"kubectl create secret docker-registry {name} -n {namespace} …"
        return [fault(subject, f"it is not a login to a registry: {kind}", advice, kind=Kind.REFUSED)]
    unused = not any(is_for(registry, image) for registry in registries for image in images)
    text = f"it has logins for {', '.join(registries)[:300] or 'no registry'}"
    return [note(subject, f"{text}: none of the images that the settings name is there") if unused else ok(subject, text)]


def registries_of(secret: dict[str, Any]) -> list[str] | None:
    """Return the registries that a secret has logins for; None if it is not a secret of logins."""
    key = _SECRET_TYPES.get(str(secret.get("type")))
    data = secret.get("data")
    if key is None or not isinstance(data, dict):
        return None
    try:
        document = json.loads(base64.b64decode(str(data.get(key, ""))))
    except (ValueError, binascii.Error, RecursionError):
        return None
    auths = document.get("auths", document) if isinstance(document, dict) else None
    return sorted(map(str, auths)) if isinstance(auths, dict) else None


def is_for(registry: str, image: str) -> bool:
    """Return whether a login is for the registry that an image comes from, as the kubelet compares them."""
    wanted = registry_of(image)
    if registry in _HUB_KEYS:
        return wanted == "docker.io"
    return re.sub(r"^https?://", "", registry).partition("/")[0] == wanted


def target_findings(
    credentials: Credentials, plan: PodPlan, version: tuple[int, int] | None
) -> dict[str, Callable[[], list[Finding]]]:
    """Return what is to be asked of a server that answers, each by its name."""
    images = [plan.build.image, plan.helper.image]
    asked: dict[str, Callable[[], list[Finding]]] = {
        f"right to {right.resource}": functools.partial(right_findings, credentials, right, namespace=plan.namespace)
        for right in rights.needed(version)
    }
    asked["pod"] = functools.partial(pod_findings, credentials, plan)
    for name in plan.settings.kubernetes.image_pull_secrets:
        asked[f"pull secret {name}"] = functools.partial(
            pull_secret_findings, credentials, name, namespace=plan.namespace, images=images
        )
    return asked


def _version(answer: dict[str, Any]) -> tuple[int, int] | None:
    major, minor = (re.match(r"\d{1,4}", str(answer.get(key, ""))) for key in ("major", "minor"))
    return (int(major[0]), int(minor[0])) if major and minor else None
