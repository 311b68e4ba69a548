"""Keys of the official Kubernetes executor that this driver lacks, each with how the driver treats it.

Source: gitlab-runner 19.4 common/config.go, `KubernetesConfig`. `ignored` keys change nothing that a job could depend on;
`refused` ones would change what a job gets, so a file with one of them is not accepted.
"""

_LATER = "refused, because it is not built yet"
_CREDENTIALS = "refused, because credentials come from a kubeconfig or the service account"
_POD_LEVEL = "refused, because sizes are set per container"

UNSUPPORTED: dict[str, str] = {
    "affinity": _LATER,
    "allowed_groups": _LATER,
    "allowed_services": _LATER,
    "autoscaler": "refused, because an autoscaler manages the nodes",
    "bearer_token": _CREDENTIALS,
    "bearer_token_overwrite_allowed": _CREDENTIALS,
    "build_container_security_context": _LATER,
    "ca_file": _CREDENTIALS,
    "cert_file": _CREDENTIALS,
    "cleanup_resources_timeout": "ignored, because cleanup does not wait for the deletion",
    "container_lifecycle": _LATER,
    "dns_config": _LATER,
    "dns_policy": _LATER,
    "helper_container_security_context": _LATER,
    "helper_image_autoset_arch_and_os": "refused, because `helper_image` names the image",
    "helper_image_flavor": "refused, because `helper_image` names the image",
    "host": _CREDENTIALS,
    "host_aliases": _LATER,
    "init_permissions_container_security_context": "ignored, because there is no such container",
    "key_file": _CREDENTIALS,
    "logs_base_dir": "ignored, because logs live in the control volume",
    "namespace_overwrite_allowed": _LATER,
    "namespace_per_job": "refused, because the driver's role is limited to one namespace",
    "node_selector_overwrite_allowed": _LATER,
    "node_tolerations_overwrite_allowed": _LATER,
    "pod_annotations_overwrite_allowed": _LATER,
    "pod_cpu_limit": _POD_LEVEL,
    "pod_cpu_request": _POD_LEVEL,
    "pod_disruption_budget": _LATER,
    "pod_labels_overwrite_allowed": _LATER,
    "pod_memory_limit": _POD_LEVEL,
    "pod_memory_request": _POD_LEVEL,
    "pod_security_context": _LATER,
    "pod_spec": _LATER,
    "poll_interval": "ignored, because the pod is watched",
    "poll_timeout": "refused, because `[budgets]` has one key for each part of it",
    "print_pod_warning_events": "ignored, because they are always printed",
    "resource_availability_check_max_attempts": "ignored, because the pod's events report a missing secret",
    "retry_backoff_max": "ignored, because retries have one budget, `budgets.api_seconds`",
    "retry_limit": "ignored, because retries have one budget, `budgets.api_seconds`",
    "retry_limits": "ignored, because retries have one budget, `budgets.api_seconds`",
    "scripts_base_dir": "ignored, because scripts live in the control volume",
    "service_account_overwrite_allowed": _LATER,
    "services": _LATER,
    "use_service_account_image_pull_secrets": "ignored, because Kubernetes always does so",
    "volumes": _LATER,
}
