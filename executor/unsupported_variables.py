"""Job variables without effect: of the official Kubernetes executor, or nearly one that this driver obeys. Pure.

Source: gitlab-runner 19.4 executors/kubernetes/overwrites.go.
"""

_LATER = "this driver does not offer it to jobs yet"
_NO_SERVICES = "this driver has no services"
_PER_CONTAINER = "sizes are set per container: use KUBERNETES_{} and KUBERNETES_HELPER_{}"

_NAMES = {
    "KUBERNETES_BEARER_TOKEN": "the operator's credentials are used for every job",
    "KUBERNETES_NAMESPACE_OVERWRITE": "all jobs run in the operator's namespace",
    "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE": "all jobs have the operator's service account",
} | {
    f"KUBERNETES_SERVICE_{resource}_{bound}": _NO_SERVICES
    for resource in ("CPU", "MEMORY", "EPHEMERAL_STORAGE")
    for bound in ("REQUEST", "LIMIT")
} | {
    f"KUBERNETES_POD_{name}": _PER_CONTAINER.format(name, name)
    for name in ("CPU_REQUEST", "CPU_LIMIT", "MEMORY_REQUEST", "MEMORY_LIMIT")
}  # fmt: skip
_PREFIXES = {
    "KUBERNETES_NODE_SELECTOR_": _LATER,
    "KUBERNETES_NODE_TOLERATIONS_": _LATER,
    "KUBERNETES_POD_ANNOTATIONS_": _LATER,
    "KUBERNETES_POD_LABELS_": _LATER,
}
_OBEYED = frozenset(
    f"KUBERNETES_{container}{resource}_{bound}"
    for container in ("", "HELPER_")
    for resource in ("CPU", "MEMORY", "EPHEMERAL_STORAGE")
    for bound in ("REQUEST", "LIMIT")
) | {"FF_KUBERNETES_HONOR_ENTRYPOINT"}
_ALIKE = 0.8


def ignored_variables(variables: dict[str, str]) -> list[str]:
    """Return a note for each variable that the official executor would obey and this driver does not. No value is in it."""
    return [f"{name} is ignored: {reason}" for name in sorted(variables) if variables[name] and (reason := _reason(name))]


def _reason(name: str) -> str:
    if not name.upper().startswith(("KUBERNETES_", "FF_KUBERNETES_")) or name in _OBEYED:
        return ""
    known = _NAMES.get(name) or next((reason for prefix, reason in _PREFIXES.items() if name.startswith(prefix)), "")
    return known or _slip(name)


def _slip(name: str) -> str:
    """Return the offer of a variable that is obeyed and spelled nearly so; "" if there is none: jobs have their own."""
    from spelling.nearest import nearest  # noqa: PLC0415  only for a variable that is not known

    near = nearest(name, _OBEYED, after="KUBERNETES_", likeness=_ALIKE)
    return f"did you mean {near}?" if near else ""
