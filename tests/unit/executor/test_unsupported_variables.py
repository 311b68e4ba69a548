"""Overwrites of the official executor that jobs may set: each that has no effect here is told, without its value."""

import pytest

from executor.unsupported_variables import ignored_variables

# gitlab-runner 19.4 executors/kubernetes/overwrites.go, all names and prefixes; those that this driver obeys are sizes.
OTHERS = [
    "KUBERNETES_NAMESPACE_OVERWRITE", "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE", "KUBERNETES_BEARER_TOKEN",
    "KUBERNETES_POD_LABELS_1", "KUBERNETES_POD_ANNOTATIONS_team", "KUBERNETES_NODE_SELECTOR_ARCH",
    "KUBERNETES_NODE_TOLERATIONS_SPOT", "KUBERNETES_SERVICE_CPU_LIMIT", "KUBERNETES_SERVICE_CPU_REQUEST",
    "KUBERNETES_SERVICE_MEMORY_LIMIT", "KUBERNETES_SERVICE_MEMORY_REQUEST", "KUBERNETES_SERVICE_EPHEMERAL_STORAGE_LIMIT",
    "KUBERNETES_SERVICE_EPHEMERAL_STORAGE_REQUEST", "KUBERNETES_POD_CPU_LIMIT", "KUBERNETES_POD_CPU_REQUEST",
    "KUBERNETES_POD_MEMORY_LIMIT", "KUBERNETES_POD_MEMORY_REQUEST",
]  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_an_overwrite_that_has_no_effect_is_told_without_its_value(name: str) -> None:
    (note,) = ignored_variables({name: "s3cret=value"})
    assert note.startswith(f"{name} is ignored: ")
    assert "s3cret" not in note


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"KUBERNETES_{part}{resource}_{bound}"
            for part in ("", "HELPER_")
            for resource in ("CPU", "MEMORY", "EPHEMERAL_STORAGE")
            for bound in ("REQUEST", "LIMIT")
        ),
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_PORT",
        "MY_KUBERNETES_POD_LABELS_1",
    ],
)
def test_what_is_obeyed_and_what_is_no_overwrite_is_not_told(name: str) -> None:
    assert ignored_variables({name: "1"}) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KUBERNETES_MEMORY_REQEST", "KUBERNETES_MEMORY_REQUEST"),
        ("KUBERNETES_MEM_REQUEST", "KUBERNETES_MEMORY_REQUEST"),
        ("KUBERNETES_MEMORY_LIMITS", "KUBERNETES_MEMORY_LIMIT"),
        ("KUBERNETES_LIMIT_MEMORY", ""),
        ("KUBERNETES_CPU_REQUESTS", "KUBERNETES_CPU_REQUEST"),
        ("kubernetes_cpu_request", "KUBERNETES_CPU_REQUEST"),
        ("KUBERNETES_EPHEMERAL_STORAGE", "KUBERNETES_EPHEMERAL_STORAGE_LIMIT"),
        ("KUBERNETES_EPHEMERALSTORAGE_LIMIT", "KUBERNETES_EPHEMERAL_STORAGE_LIMIT"),
        ("KUBERNETES_HELPR_CPU_LIMIT", "KUBERNETES_HELPER_CPU_LIMIT"),
        ("FF_KUBERNETES_HONOUR_ENTRYPOINT", "FF_KUBERNETES_HONOR_ENTRYPOINT"),
        ("FF_KUBERNETES_HONOR_ENTRYPOINT", ""),
        ("KUBERNETES_VERSION", ""),
        ("KUBERNETES_NAMESPACE", ""),
        ("KUBERNETES_SERVICE_PORT_HTTPS", ""),
    ],
)
def test_a_variable_that_is_nearly_one_that_is_obeyed_is_named_with_that_one(name: str, meant: str) -> None:
    assert ignored_variables({name: "1"}) == ([f"{name} is ignored: did you mean {meant}?"] if meant else [])


def test_an_empty_overwrite_is_none() -> None:
    assert ignored_variables(dict.fromkeys(OTHERS, "")) == []
