"""The table `[service]` of the settings: what only the running service needs. Pools are in `autoscaler.settings`."""

from typing import Annotated, Any, Literal

import msgspec

from autoscaler.cluster.names import STARTUP_TAINTS
from autoscaler.errors import SettingsError
from autoscaler.lookahead.gitlab import GitLab
from spelling.keys import unknown_keys

_NAME = Annotated[str, msgspec.Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table."""

    kubeconfig: str = ""
    """Path of a kubeconfig; "" takes the pod's own service account, else the user's."""
    namespace: str = ""
    """Namespace of the lease and of events on nodes; "" takes the pod's own."""
    lease: _NAME = "spack-farm-autoscaler"
    """Name of the lease for which controllers compete. Two controllers with different pools need two names."""
    owner: _NAME = "spack-farm"
    """Label or tag `spack-farm.io/owner` of what this controller may end."""
    listen: str = "0.0.0.0:8080"
    """Address of /metrics and /healthz; "" serves neither."""
    job_labels: dict[str, str] = msgspec.field(default_factory=lambda: {"spack-farm.io/managed-by": "executor"})
    """A pod with all of these labels is a job."""
    startup_taints: tuple[str, ...] = ()
    """Taints of nodes that are Ready and not yet usable, besides the well-known ones."""
    placeholders: Literal["pods", "buffers"] = "pods"
    """With `mode = "hints"`: how room for jobs that come is asked for, by placeholder pods or by CapacityBuffer objects."""
    annotate_waiting: bool = True
    """Whether pods get the annotation `spack-farm.io/waiting`."""
    events: bool = True
    """Whether what is done to a node becomes an Event."""
    graphs: str = ""
    """A mirror with job graphs: a folder or `s3://BUCKET/PREFIX`; "" reads none."""
    endpoint_url: str = ""
    """S3 server of `graphs`; "" takes boto3's."""
    record_folder: str = ""
    """Where the last Snapshots are kept for `autoscaler replay`; "" keeps none."""
    record_count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 60
    """How many."""
    gitlab: GitLab = GitLab()
    """Where to ask for jobs that have no pod yet."""

    @property
    def all_startup_taints(self) -> frozenset[str]:
        """Taints of nodes that are not yet usable."""
        return frozenset(STARTUP_TAINTS) | frozenset(self.startup_taints)


def read_service(table: dict[str, Any]) -> Service:
    """Return the table as values. Raises SettingsError."""
    if unknown := unknown_keys(table, Service, at="service"):
        raise SettingsError("; ".join(unknown))
    try:
        service = msgspec.convert(table, Service)
    except msgspec.ValidationError as error:
        raise SettingsError(f"service: {error}".replace("$", "$.service")) from error
    faults = []
    if not service.job_labels:
        faults.append("service.job_labels is empty: no pod would be a job, and no node would be busy")
    host, _, port = service.listen.rpartition(":")
    if service.listen and not (host and port.isascii() and port.isdecimal() and int(port) < 65536):
        faults.append(f"service.listen {service.listen!r} is not HOST:PORT")
    if service.gitlab.url and not (service.gitlab.token_file and service.gitlab.projects and service.gitlab.tags):
        faults.append("service.gitlab needs token_file, projects and tags beside url")
    if service.gitlab.url and not service.gitlab.url.startswith(("https://", "http://")):
        faults.append(f"service.gitlab.url {service.gitlab.url!r} is not a URL of http or https")
    if faults:
        raise SettingsError("; ".join(faults))
    return service
