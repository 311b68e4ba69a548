"""The verb `check`: what would go wrong with the first job, before there is one. The Runner never calls it.

Looks at the settings, the way to the cluster, the rights, the pod that a job would get, and the Runner's own file. Creates
nothing, but with `--run-pod` one pod, which it deletes again.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from executor import access, errors, pods, warm
from executor.checks import cluster, programs, runner_file, settings_file
from executor.checks.finding import Finding, Kind, exit_code, fault, note, ok
from executor.checks.parallel import ask_all
from executor.credentials import Credentials, Source
from executor.environment import process_environment
from executor.image_check import check_images
from executor.image_facts import read_facts
from executor.job import Image, Job, expand
from executor.log import Log, write_all
from executor.plan import PodPlan, make_plan
from executor.pod_launch import launch
from executor.pod_wait import wait_ready
from executor.settings import Settings
from spelling.variables import unknown_variables

_VARIABLES = (warm.OFF, warm.SOCKET)
_PLUGIN_SECONDS = 4.0
_DELETE_SECONDS = 15.0
_INTERRUPTED = 130


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line of the verb."""

    config: Path | None
    config_toml: Path | None
    image: str
    """The build container's in the pod that is tried; "" takes the settings'."""
    runner_version: str
    """"" asks gitlab-runner."""
    run_pod: bool


def check(options: Options) -> int:
    """Print a line for all that was looked at; return 0, or the exit code of the first kind of fault."""
    found: list[Finding] = []
    try:
        for finding in findings(options):
            found.append(finding)
            write_all(1, f"{finding.line}\n".encode(errors="backslashreplace"))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return exit_code(found)


def findings(options: Options) -> Iterator[Finding]:
    """Yield what is found: first the files of this machine, then the cluster."""
    for name, meant in unknown_variables(process_environment(), _VARIABLES, "SPACK_FARM_EXECUTOR_"):
        yield note("variables", f"{name} is not one of the driver's, which ignores it{meant}", f"unset {name}")
    settings, found = settings_file.read_settings(options.config)
    yield from found
    version = options.runner_version or programs.runner_version()
    yield programs.runner_finding(version)
    if settings is None:
        yield from _runner_file(options, None)
        return
    yield programs.helper_finding(settings, version)
    yield from _runner_file(options, settings)
    if settings.backend == "local":
        yield note("backend", "it is `local`: jobs run on this machine, and no cluster is asked")
        return
    yield from _cluster(options, settings, version)


def _runner_file(options: Options, settings: Settings | None) -> Iterator[Finding]:
    """Yield what is found in the Runner's own file; without settings only whether it can be read."""
    path = options.config_toml
    if path is None:
        yield note("config.toml", "the Runner's own file is not checked", "name it with --config-toml")
        return
    try:
        document = settings_file.read_toml(path)
    except errors.SettingsError as error:
        yield fault("config.toml", str(error), "correct it; config.toml.example is complete")
        return
    yield from settings_file.mode_finding(path)
    if settings is not None:
        settings_name = str(options.config or "/etc/spack-farm/settings.toml")
        yield from runner_file.check(document, settings, settings_file=settings_name, locate=programs.locate)


def _cluster(options: Options, settings: Settings, version: str) -> Iterator[Finding]:
    """Yield what the cluster says. What needs an answer is asked only where there is one."""
    reached = _Reached()
    yield from ask_all({"access": functools.partial(_resolve, settings, reached)})
    credentials = reached.credentials
    if credentials is None:
        return
    yield from ask_all({"API server": functools.partial(_ask_server, credentials, reached)})
    if not reached.answers:
        return
    try:
        plan = _plan(options, settings, credentials, version)
    except errors.DriverError as error:
        yield fault("pod", str(error), "correct the settings, or name another --image")
        return
    asked = ask_all(cluster.target_findings(credentials, plan, reached.version))
    yield from asked
    if options.run_pod and not any(finding.kind is Kind.REFUSED for finding in asked):
        yield _run_pod(credentials, plan, version)


class _Reached:
    """How far the way to the cluster goes: what the targets find out for those after them."""

    def __init__(self) -> None:
        self.credentials: Credentials | None = None
        self.answers = False
        self.version: tuple[int, int] | None = None


def _resolve(settings: Settings, reached: _Reached) -> list[Finding]:
    """Find the way to the cluster."""
    warnings: list[str] = []
    source = Source(kubeconfig=settings.kubernetes.kubeconfig, context=settings.kubernetes.context)
    found = access.resolve(source, process_environment(), warn=warnings.append, plugin_seconds=_PLUGIN_SECONDS)
    reached.credentials = found
    return [*cluster.access_findings(found, now=time.time()), *(note("access", warning) for warning in warnings)]


def _ask_server(credentials: Credentials, reached: _Reached) -> list[Finding]:
    """Ask the API server for its version."""
    found, reached.version = cluster.server_findings(credentials, now=time.time)
    reached.answers = found[0].kind is Kind.OK
    return found


def _plan(options: Options, settings: Settings, credentials: Credentials, version: str) -> PodPlan:
    """Return the pod of a job that asks for nothing. Raises DriverError if the settings lead to none."""
    image = options.image or settings.kubernetes.image or settings.kubernetes.helper_image
    if image == settings.kubernetes.helper_image and not version:
        # without a version there is no such image; only a pod that runs needs one
        version = "0"
    image = expand(image, {"CI_RUNNER_VERSION": version})
    unlimited = msgspec.structs.replace(settings.kubernetes, allowed_images=[])
    return make_plan(
        Job(id=0, image=Image(name=image)),
        msgspec.structs.replace(settings, kubernetes=unlimited),
        {"CI_RUNNER_VERSION": version, "CI_RUNNER_SHORT_TOKEN": "check"},
        namespace=settings.kubernetes.namespace or credentials.namespace,
        attempt=f"check-{time.time_ns():x}",
    ).plan


def _run_pod(credentials: Credentials, plan: PodPlan, version: str) -> Finding:
    """Run the pod of a job until scripts could begin, and delete it."""
    api, log = cluster.connect(credentials), Log(2)
    begun = time.monotonic()
    try:
        pod = wait_ready(api, plan, launch(api, plan, log), log)
        check_images(read_facts(api, plan), plan.settings, version)
    except errors.DriverError as error:
        return fault("pod that runs", str(error), "see docs/executor.md, “What a failure means”", kind=Kind.REFUSED)
    finally:
        with contextlib.suppress(errors.ClusterError):
            pods.delete(api, plan.namespace, plan.name, grace_seconds=1, seconds=_DELETE_SECONDS)
    seconds = time.monotonic() - begun
    return ok("pod that runs", f"scripts could begin after {seconds:.1f} s, on node {pod.spec.node_name or 'unknown'}")
