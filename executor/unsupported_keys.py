"""Keys of the official Kubernetes executor that this driver lacks, each with the reason.

Source: gitlab-runner 19.4 common/config.go, `KubernetesConfig`.
"""

_LATER = "it is not built yet"
_CREDENTIALS = "credentials come from a kubeconfig or the service account"
_POD_LEVEL = "sizes are set per container"
_NO_SERVICES = "jobs with `services:` are rejected"
_NO_SUSPENSION = "jobs cannot be suspended"

REJECTED: dict[str, str] = {
    "affinity": _LATER,
    "allowed_groups": _LATER,
    "autoscaler": "an autoscaler manages the nodes",
    "bearer_token": _CREDENTIALS,
    "bearer_token_overwrite_allowed": _CREDENTIALS,
    "build_container_security_context": _LATER,
    "ca_file": _CREDENTIALS,
    "cert_file": _CREDENTIALS,
    "container_lifecycle": _LATER,
    "dns_config": _LATER,
    "dns_policy": _LATER,
    "helper_container_security_context": _LATER,
    "helper_image_autoset_arch_and_os": "`helper_image` names the image",
    "helper_image_flavor": "`helper_image` names the image",
    "host": _CREDENTIALS,
    "host_aliases": _LATER,
    "key_file": _CREDENTIALS,
    "namespace_overwrite_allowed": _LATER,
    "namespace_per_job": "the driver's role is limited to one namespace",
    "node_selector_overwrite_allowed": _LATER,
    "node_tolerations_overwrite_allowed": _LATER,
    "pod_annotations_overwrite_allowed": _LATER,
    "pod_cpu_limit": _POD_LEVEL,
    "pod_cpu_limit_overwrite_max_allowed": _POD_LEVEL,
    "pod_cpu_request": _POD_LEVEL,
    "pod_cpu_request_overwrite_max_allowed": _POD_LEVEL,
    "pod_disruption_budget": _LATER,
    "pod_labels_overwrite_allowed": _LATER,
    "pod_memory_limit": _POD_LEVEL,
    "pod_memory_limit_overwrite_max_allowed": _POD_LEVEL,
    "pod_memory_request": _POD_LEVEL,
    "pod_memory_request_overwrite_max_allowed": _POD_LEVEL,
    "pod_security_context": _LATER,
    "pod_spec": _LATER,
    "poll_timeout": "`[budgets]` has one key for each part of it",
    "service_account_overwrite_allowed": _LATER,
    "services": _LATER,
    "volumes": _LATER,
}
"""Keys that would change what a job gets: a file that sets one of them is rejected. An empty value sets nothing."""

IGNORED: dict[str, str] = {
    "allowed_services": _NO_SERVICES,
    "cleanup_resources_timeout": "cleanup does not wait for the deletion",
    "init_permissions_container_security_context": "there is no such container",
    "logs_base_dir": "logs live in the control volume",
    "poll_interval": "the pod is watched",
    "print_pod_warning_events": "they are always printed",
    "resource_availability_check_max_attempts": "the pod's events report a missing secret",
    "retry_backoff_max": "retries have one budget, `budgets.api_seconds`",
    "retry_limit": "retries have one budget, `budgets.api_seconds`",
    "retry_limits": "retries have one budget, `budgets.api_seconds`",
    "scripts_base_dir": "scripts live in the control volume",
    "service_container_security_context": _NO_SERVICES,
    "suspend_pvc_size": _NO_SUSPENSION,
    "suspend_pvc_storage_class": _NO_SUSPENSION,
    "use_service_account_image_pull_secrets": "Kubernetes always does so",
} | {
    f"service_{resource}_{bound}{ending}": _NO_SERVICES
    for resource in ("cpu", "memory", "ephemeral_storage")
    for bound in ("request", "limit")
    for ending in ("", "_overwrite_max_allowed")
}  # fmt: skip
"""Keys that change nothing that a job could depend on: a file with them is accepted, with a note."""


def sets_nothing(value: object) -> bool:
    """Return whether a value is what GitLab Runner writes for a key that is not set: empty, all the way down."""
    if isinstance(value, dict):
        return all(map(sets_nothing, value.values()))
    return not value
