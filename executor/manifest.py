"""Writes a pod plan as Kubernetes objects. Pure; sends nothing.

Source: Kubernetes API v1 (Pod, Secret, ConfigMap). Two containers share three empty volumes: builds, cache, and the control
volume through which scripts and their output go (`pod_agent.py`); and the config map with the program that runs them.
"""

import base64
import json
from typing import Any

from executor import names
from executor.agent_files import agent_files, architecture_of
from executor.plan import ContainerPlan, PodPlan
from executor.pod_agent import AGENT_FOLDER, CONTROL_FOLDER, PROTOCOL_VERSION, first_process
from executor.sizes import Size
from executor.units import format_bytes, format_millicores

Manifest = dict[str, Any]
HELPER_UMASK = "0000"
"""The job's image may have another user, who writes beside what the helper has fetched. The official helper has it too."""
_HARDENED_USER = 1000
"""User and group of a hardened pod whose job asks for none: an image that names no user would run as root."""


def pod_manifest(plan: PodPlan) -> Manifest:
    """Return the pod."""
    settings = plan.settings
    kubernetes = settings.kubernetes
    spec: Manifest = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": plan.deadline_seconds,
        "terminationGracePeriodSeconds": kubernetes.pod_termination_grace_period_seconds,
        "automountServiceAccountToken": kubernetes.automount_service_account_token,
        "enableServiceLinks": False,
        "securityContext": _pod_security_context(plan),
        "volumes": [
            *({"name": name, "emptyDir": {}} for name in ("builds", "cache", "control")),
            {"name": "agent", "configMap": {"name": _agent_files(plan)["metadata"]["name"], "defaultMode": 0o555}},
        ],
        "containers": [_container(plan, plan.build), _container(plan, plan.helper)],
    }
    secrets = [{"name": name} for name in kubernetes.image_pull_secrets]
    if plan.registries:
        secrets.append({"name": plan.name})
    optional = {
        "serviceAccountName": kubernetes.service_account,
        "nodeSelector": kubernetes.node_selector,
        "tolerations": [_toleration(key, effect) for key, effect in kubernetes.node_tolerations.items()],
        "imagePullSecrets": secrets,
        "priorityClassName": kubernetes.priority_class_name,
        "schedulerName": kubernetes.scheduler_name,
        "runtimeClassName": kubernetes.runtime_class_name,
    }
    spec |= {key: value for key, value in optional.items() if value}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": plan.name,
            "namespace": plan.namespace,
            "labels": plan.labels,
            "annotations": plan.annotations | {names.CONTROL_PROTOCOL: str(PROTOCOL_VERSION)},
        },
        "spec": spec,
    }


def agent_files_manifest(plan: PodPlan) -> Manifest:
    """Return the config map with the pod agent, which all pods of the namespace share."""
    files = _agent_files(plan)
    return files | {"metadata": files["metadata"] | {"namespace": plan.namespace}}


def _agent_files(plan: PodPlan) -> Manifest:
    return agent_files(
        architecture_of(plan.settings.kubernetes),
        orphan_after_seconds=plan.settings.orphan_after_seconds,
        helper_umask=HELPER_UMASK,
    )


def owner_references(plan: PodPlan, *, pod_uid: str) -> list[Manifest]:
    """Return what makes a pod the owner of an object, which is deleted with it."""
    return [{"apiVersion": "v1", "kind": "Pod", "name": plan.name, "uid": pod_uid}]


def pull_secret_manifest(plan: PodPlan, *, pod_uid: str = "") -> Manifest:
    """Return the secret with the logins to image registries; without a pod's uid it has no owner yet."""
    auths = {
        one.url: {
            "username": one.username,
            "password": one.password,
            "auth": base64.b64encode(f"{one.username}:{one.password}".encode()).decode(),
        }
        for one in plan.registries
    }
    content = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    metadata: Manifest = {"name": plan.name, "namespace": plan.namespace, "labels": plan.labels}
    if pod_uid:
        metadata["ownerReferences"] = owner_references(plan, pod_uid=pod_uid)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": metadata,
        "data": {".dockerconfigjson": content},
    }


def _container(plan: PodPlan, container: ContainerPlan) -> Manifest:
    settings = plan.settings
    process = first_process(container.name)
    if container.honors_image_entrypoint:
        start: Manifest = {"args": process}
    elif container.entrypoint:
        # Kubernetes expands $(NAME) in it, and makes $$ one $.
        start = {"command": [argument.replace("$", "$$") for argument in container.entrypoint], "args": process}
    else:
        start = {"command": process}
    manifest = {
        "name": container.name,
        "image": container.image,
        **start,
        "volumeMounts": [
            {"name": "builds", "mountPath": settings.builds_dir},
            {"name": "cache", "mountPath": settings.cache_dir},
            {"name": "control", "mountPath": CONTROL_FOLDER},
            {"name": "agent", "mountPath": AGENT_FOLDER, "readOnly": True},
        ],
        "resources": _resources(container.size),
        "securityContext": _security_context(plan, container),
    }
    if container.pull_policy:
        manifest["imagePullPolicy"] = container.pull_policy
    return manifest


def _pod_security_context(plan: PodPlan) -> Manifest:
    """Return what all containers share; in a hardened pod, volumes belong to the group of its user."""
    context: Manifest = {"seccompProfile": {"type": "RuntimeDefault"}}
    if plan.settings.hardened:
        context |= {
            "runAsNonRoot": True,
            "runAsUser": _HARDENED_USER,
            "runAsGroup": _HARDENED_USER,
            "fsGroup": _HARDENED_USER,
        }
    return context


def _security_context(plan: PodPlan, container: ContainerPlan) -> Manifest:
    kubernetes = plan.settings.kubernetes
    context: Manifest = {
        "allowPrivilegeEscalation": kubernetes.allow_privilege_escalation,
        "capabilities": {"drop": kubernetes.cap_drop},
    }
    if kubernetes.cap_add:
        context["capabilities"]["add"] = kubernetes.cap_add
    if kubernetes.privileged and container.name == "build":
        context |= {"privileged": True, "allowPrivilegeEscalation": True}
    if plan.settings.hardened:
        context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    if container.run_as_user is not None:
        context["runAsUser"] = container.run_as_user
    if container.run_as_group is not None:
        context["runAsGroup"] = container.run_as_group
    return context


def _resources(size: Size) -> Manifest:
    requests = {
        "cpu": _cpu(size.cpu_request_millicores),
        "memory": _bytes(size.memory_request_bytes),
        "ephemeral-storage": _bytes(size.disk_request_bytes),
    }
    limits = {
        "cpu": _cpu(size.cpu_limit_millicores),
        "memory": _bytes(size.memory_limit_bytes),
        "ephemeral-storage": _bytes(size.disk_limit_bytes),
    }
    both = {"requests": requests, "limits": limits}
    return {kind: {key: value for key, value in table.items() if value} for kind, table in both.items()}


def _cpu(millicores: int | None) -> str:
    return "" if millicores is None else format_millicores(millicores)


def _bytes(value: int | None) -> str:
    return "" if value is None else format_bytes(value)


def _toleration(key: str, effect: str) -> Manifest:
    """Return a toleration from the official executor's `"key=value" = "Effect"`; an empty effect tolerates every one."""
    name, equals, value = key.partition("=")
    toleration: Manifest = {"key": name, "operator": "Equal" if equals else "Exists"}
    if equals:
        toleration["value"] = value
    if effect:
        toleration["effect"] = effect
    return toleration
