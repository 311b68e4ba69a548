"""The operator's settings: a TOML file of the driver's own, beside the Runner's config.toml.

Key names below `[kubernetes]` are those of the official Kubernetes executor. Defaults are data (`defaults.toml`); the file
overrides them key by key. One message reports all faults, each with its path. Reads no environment.
"""

import functools
import tomllib
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from executor.errors import SettingsError
from executor.quantities import Kind, Use, read_quantity
from executor.units import QuantityError
from executor.unsupported_keys import IGNORED, REJECTED, sets_nothing

DEFAULTS = Path(__file__).with_name("defaults.toml")
Quantity = str
PullPolicy = Literal["always", "if-not-present", "never"]


class Budgets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long each part of starting a pod may take, and how long the API server may not answer, in seconds."""

    schedule_seconds: int
    """Until the scheduler has found a node; a node that an autoscaler adds takes minutes."""
    pull_seconds: int
    """For pulling images; the kubelet retries a registry that does not answer until then."""
    start_seconds: int
    """For volumes, network and containers on the node, without pulling; then again for the shells in them."""
    quota_seconds: int
    """Until the namespace's quota has room."""
    api_seconds: int
    """How long the API server may not answer before a running job fails."""


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a memory kill means."""

    kill: Literal["build", "retry"]
    """`build`: exit code 137, for `retry: exit_codes`. `retry`: a system failure while a bigger size is left."""
    step_percent: int
    """The next attempt's size in percent of the one that was too small."""
    keep_seconds: int
    """How long the size of a job's next attempt is remembered."""


class Telemetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the driver writes a document about every attempt."""

    folder: str
    """An existing folder on the manager; "" writes none."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counters for Prometheus."""

    file: str
    """A file `….prom` in a folder that the node exporter's textfile collector reads; "" counts nothing."""


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pods: where they run, what they get, and what jobs may change. Key names are the official executor's."""

    namespace: str
    """Namespace of the pods; "" takes that of the credentials."""
    kubeconfig: str
    """Path of a kubeconfig; "" tries the pod's own service account, then $KUBECONFIG, then ~/.kube/config."""
    context: str
    """Context of the kubeconfig; "" takes its current one."""
    image: str
    """Image of jobs that name none; "" rejects such jobs."""
    helper_image: str
    """Image that fetches sources and moves caches and artifacts; $CI_RUNNER_VERSION is the Runner's version."""
    allowed_images: list[str]
    """Patterns of images that jobs may use, besides `image`: `*` ends at a slash, `**` does not; empty allows all."""
    pull_policy: Literal["", "always", "if-not-present", "never"] | list[PullPolicy]
    """When images are pulled; "" leaves it to the cluster. Of a list, each one is tried after the one before has failed."""
    allowed_pull_policies: list[PullPolicy]
    """Policies that jobs may ask for by `image:pull_policy`; empty allows only `pull_policy`."""
    image_pull_secrets: list[str]
    """Names of secrets in the namespace, in addition to the job's own registry credentials."""
    service_account: str
    """Service account of the pod; "" takes the namespace's default."""
    automount_service_account_token: bool
    """Whether the pod gets that account's token."""
    cpu_request: Quantity
    """CPU of the build container; "" asks for none."""
    cpu_request_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_CPU_REQUEST; "" ignores the variable."""
    cpu_limit: Quantity
    """CPU that the build container cannot exceed; "" sets none."""
    cpu_limit_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_CPU_LIMIT; "" ignores the variable."""
    memory_request: Quantity
    """Memory of the build container; "" asks for none."""
    memory_request_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_MEMORY_REQUEST; "" ignores the variable."""
    memory_limit: Quantity
    """Memory beyond which a process of the build container is killed; "" see `memory_limit_percent`."""
    memory_limit_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_MEMORY_LIMIT; "" ignores the variable."""
    memory_limit_percent: int
    """Memory limit in percent of the request where neither the job nor `memory_limit` sets one; 0 sets none."""
    memory_limit_floor: Quantity
    """Lowest limit that `memory_limit_percent` leads to: a shell needs more than some jobs request."""
    ephemeral_storage_request: Quantity
    """Disk of the build container; "" asks for none."""
    ephemeral_storage_request_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_EPHEMERAL_STORAGE_REQUEST; "" ignores the variable."""
    ephemeral_storage_limit: Quantity
    """Disk beyond which the pod is evicted; "" sets none."""
    ephemeral_storage_limit_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_EPHEMERAL_STORAGE_LIMIT; "" ignores the variable."""
    helper_cpu_request: Quantity
    """CPU of the helper container."""
    helper_cpu_request_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_HELPER_CPU_REQUEST."""
    helper_cpu_limit: Quantity
    """CPU that the helper container cannot exceed."""
    helper_cpu_limit_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_HELPER_CPU_LIMIT."""
    helper_memory_request: Quantity
    """Memory of the helper container."""
    helper_memory_request_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_HELPER_MEMORY_REQUEST."""
    helper_memory_limit: Quantity
    """Memory beyond which a process of the helper container is killed."""
    helper_memory_limit_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_HELPER_MEMORY_LIMIT."""
    helper_ephemeral_storage_request: Quantity
    """Disk of the helper container."""
    helper_ephemeral_storage_request_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_HELPER_EPHEMERAL_STORAGE_REQUEST."""
    helper_ephemeral_storage_limit: Quantity
    """Disk of the helper container beyond which the pod is evicted."""
    helper_ephemeral_storage_limit_overwrite_max_allowed: Quantity
    """Most that a job may ask for by KUBERNETES_HELPER_EPHEMERAL_STORAGE_LIMIT."""
    node_selector: dict[str, str]
    """Labels that a node must have."""
    node_tolerations: dict[str, str]
    """Tolerated taints: `"key=value" = "Effect"`, `"key" = "Effect"`."""
    pod_labels: dict[str, str]
    """Further labels; $NAME is replaced by a public job variable."""
    pod_annotations: dict[str, str]
    """Further annotations; $NAME is replaced by a public job variable."""
    priority_class_name: str
    """Priority class of the pod; "" takes the cluster's default."""
    scheduler_name: str
    """Scheduler of the pod; "" takes the cluster's default."""
    runtime_class_name: str
    """Runtime class of the pod; "" takes the cluster's default."""
    pod_termination_grace_period_seconds: int
    """Grace period of an evicted or deleted pod: a script that ends within it still counts."""
    cleanup_grace_period_seconds: int
    """Grace period that `cleanup` gives the pod of a finished job."""
    privileged: bool
    """Whether the build container is privileged."""
    allow_privilege_escalation: bool
    """Whether set-user-id programs work in the build container."""
    cap_add: list[str]
    """Capabilities that are added to the build container."""
    cap_drop: list[str]
    """Capabilities that are dropped from the containers."""
    allowed_users: list[str]
    """Users (`uid` or `uid:gid`) that jobs may ask for by `image:kubernetes:user`; empty allows all."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    backend: Literal["kubernetes", "local"]
    """`local` runs jobs as plain processes on the manager: for a laptop. Never a fallback."""
    builds_dir: str
    """Folder for sources and builds in both containers."""
    cache_dir: str
    """Folder for GitLab caches in both containers."""
    oversize: Literal["clamp", "strict"]
    """For a job that asks for more than a cap: `clamp` gives the cap and warns, `strict` rejects the job."""
    allow_missing_helper: bool
    """Whether jobs run although the helper image has no gitlab-runner: their caches and artifacts are then silently lost."""
    hardened: bool
    """Drops every capability and root: containers run as user 1000, or as the one that `image:kubernetes:user` names."""
    keep_failed: bool
    """Whether the pod of a failed job stays for inspection, with all its files, until `orphan_after_seconds` are over.

    It uses its node until then; the finished pod itself stays until it is deleted.
    """
    orphan_after_seconds: int
    """A pod that no driver has touched for this long ends itself; longer than `budgets.api_seconds`."""
    cancel_seconds: int
    """Grace period from TERM to KILL for the script of a canceled or timed-out job."""
    sizes_file: str
    """Path of a size table, `sizes.json` (docs/sizing.md); "" uses none."""
    kubernetes: Kubernetes
    budgets: Budgets
    memory: Memory
    telemetry: Telemetry
    metrics: Metrics


TABLES: dict[str, type[msgspec.Struct]] = {
    "": Settings,
    "kubernetes": Kubernetes,
    "budgets": Budgets,
    "memory": Memory,
    "telemetry": Telemetry,
    "metrics": Metrics,
}
_KINDS = {"cpu_": Kind.CPU, "memory_": Kind.MEMORY, "ephemeral_storage_": Kind.DISK}
_USES = {"_max_allowed": Use.CAP, "_limit_floor": Use.FLOOR, "_request": Use.REQUEST, "_limit": Use.LIMIT}
QUANTITY_ENDINGS = tuple(_USES)


def load_settings(path: Path | None) -> Settings:
    """Return the settings of a file over the defaults. Raises SettingsError with every fault of the file."""
    document = {key: dict(value) if isinstance(value, dict) else value for key, value in _defaults().items()}
    if path is None:
        return msgspec.convert(document, Settings)
    given = _read(path)
    faults = _faults(given)
    if not faults:
        for name, table_type in TABLES.items():
            known = {key: value for key, value in _table(given, name).items() if key in table_type.__struct_fields__}
            (document[name] if name else document).update(known)
        faults = _cross_faults(document)
    if faults:
        raise SettingsError(f"{path}: " + "; ".join(faults))
    return msgspec.convert(document, Settings)


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the document of the defaults; callers must not change it."""
    return _read(DEFAULTS)


_hints = functools.cache(get_type_hints)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"the settings cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def _table(document: dict[str, Any], name: str) -> dict[str, object]:
    """Return the keys of one table; the top level's without the tables."""
    table: dict[str, object] = document.get(name, {}) if name else dict(document)
    return {key: value for key, value in table.items() if name or key not in TABLES}


def _faults(given: dict[str, Any]) -> list[str]:
    """Return the faults of each key on its own, with its path."""
    faults: list[str] = []
    rejected: list[str] = []
    ignored: list[str] = []
    for name, table_type in TABLES.items():
        if name and not isinstance(given.get(name, {}), dict):
            faults.append(f"{name} must be a table")
            continue
        hints = _hints(table_type)
        for key, value in _table(given, name).items():
            where = f"{name}.{key}".lstrip(".")
            if key not in hints:
                if name == "kubernetes" and key in REJECTED | IGNORED and sets_nothing(value):
                    continue
                if name == "kubernetes" and key in REJECTED:
                    rejected.append(f"{where} rejected, because {REJECTED[key]}")
                elif name == "kubernetes" and key in IGNORED:
                    ignored.append(_ignored(key))
                else:
                    faults.append(f"unknown key {where}{_meant(key, name)}")
                continue
            try:
                msgspec.convert(value, hints[key])
                _check_quantity(key, value)
            except (msgspec.ValidationError, QuantityError) as error:
                faults.append(f"{where}: {error}")
    if rejected:
        faults.append("keys of the official executor that this driver does not have: " + ", ".join([*rejected, *ignored]))
    return faults


def _meant(key: str, table: str) -> str:
    """Return which key may have been meant by one that is not known: of the same table, or else of another one."""
    from spelling.keys import offer  # noqa: PLC0415 (only for a fault)

    everywhere = [(name, f"{other}.{name}".lstrip(".")) for other, kind in TABLES.items() for name in _hints(kind)]
    return offer(key, table, _hints(TABLES[table]), everywhere)


def ignored_keys(path: Path | None) -> list[str]:
    """Return the official executor's keys in the file that are accepted without effect, each with the reason."""
    if path is None:
        return []
    given = _table(_read(path), "kubernetes")
    return [_ignored(key) for key, value in given.items() if key in IGNORED and not sets_nothing(value)]


def _ignored(key: str) -> str:
    return f"kubernetes.{key} ignored, because {IGNORED[key]}"


def _check_quantity(key: str, value: object) -> None:
    """Raise QuantityError if the key holds a quantity and the value is not one, or one that no container can live with."""
    use = next((use for ending, use in _USES.items() if key.endswith(ending)), None)
    if use is not None and value != "":
        kind = next(kind for word, kind in _KINDS.items() if word in key)
        read_quantity(str(value), kind, use)


def _cross_faults(document: dict[str, Any]) -> list[str]:
    """Return the faults of keys taken together."""
    settings = msgspec.convert(document, Settings)
    faults = [
        f"budgets.{field} must be positive" for field in Budgets.__struct_fields__ if getattr(settings.budgets, field) <= 0
    ]
    if settings.orphan_after_seconds <= settings.budgets.api_seconds:
        faults.append("orphan_after_seconds must be longer than budgets.api_seconds: a silent API server must end no pod")
    if settings.memory.step_percent <= 100:
        faults.append("memory.step_percent must be more than 100: the next attempt's size is bigger")
    if not 0 < settings.kubernetes.cleanup_grace_period_seconds <= settings.kubernetes.pod_termination_grace_period_seconds:
        faults.append("kubernetes.cleanup_grace_period_seconds must be between 1 and pod_termination_grace_period_seconds")
    folders = ("builds_dir", "cache_dir")
    return faults + [f"{name} must be an absolute path" for name in folders if not str(document[name]).startswith("/")]
