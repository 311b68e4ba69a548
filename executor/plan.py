"""Decides what pod a job gets: one value from the job and the settings, which `manifest` writes down. Pure.

Of the job's variables only sizes enter the plan, and public ones through the operator's templates.
"""

import math

import msgspec

from executor import names
from executor.errors import RequestError
from executor.image_patterns import matches
from executor.job import Credential, Image, Job, expand
from executor.registry_logins import VARIABLE, collect_logins
from executor.settings import Settings
from executor.size_table import MeasuredSize
from executor.sizes import NOTHING_KNOWN, PastUse, Size, decide_size
from executor.unsupported_variables import ignored_variables

DEADLINE_MARGIN_SECONDS = 300
"""From the job's own timeout to the pod's: the Runner ends the job first, and cleanup still finds the pod."""

_LONGEST_DEADLINE_SECONDS = (1 << 31) - 1  # the API server takes no larger one


class ContainerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One container."""

    name: str
    """`build` or `helper`."""
    image: str
    entrypoint: list[str]
    """The job's own, which starts the driver's first process; empty if there is none, or it is not to run."""
    honors_image_entrypoint: bool
    """Whether the image's own entrypoint starts the driver's first process."""
    pull_policy: str
    """As Kubernetes spells it; "" is the cluster's default."""
    later_pull_policies: list[str] = []
    """Policies that are tried, each with a new pod, after a pull with the one before has failed."""
    size: Size
    run_as_user: int | None = None
    run_as_group: int | None = None

    @property
    def has_entrypoint(self) -> bool:
        """Whether another program starts the driver's first process."""
        return self.honors_image_entrypoint or bool(self.entrypoint)


class PodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that is to be created."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    build: ContainerPlan
    helper: ContainerPlan
    deadline_seconds: int
    registries: list[Credential]
    """Logins to image registries: not in the pod, but in a secret that it owns."""
    settings: Settings
    """The operator's part of the plan, which no job can change."""
    chosen: frozenset[str] = frozenset()
    """What the job itself has chosen: `image`, `entrypoint`, `pull policy`, `user`, and resources by their names in
    Kubernetes, those of the helper after `helper `."""

    @property
    def containers(self) -> tuple[ContainerPlan, ContainerPlan]:
        """The containers, in the pod's order."""
        return self.build, self.helper


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A pod plan, and what the job log says about it."""

    plan: PodPlan
    notes: list[str]
    warnings: list[str]


def make_plan(  # noqa: PLR0913 (each is a source of its own)
    job: Job,
    settings: Settings,
    variables: dict[str, str],
    *,
    namespace: str,
    attempt: str,
    past: PastUse = NOTHING_KNOWN,
    managers_logins: str = "",
) -> Planned:
    """Return the pod for an attempt of a job.

    `variables` are the job's, expanded; only sizes, flags and registry logins are read. `managers_logins` is the content of
    the manager's own `~/.docker/config.json`.

    Raises RequestError if the job's request can never work.
    """
    if job.run:
        raise RequestError("this job uses `run:` steps, which the custom executor does not offer; use `script:`")
    if job.services:
        raise RequestError("this job has `services:`, which this driver does not offer yet; start them in the script")
    runner = runner_name(variables)
    build = decide_size(settings, variables, past=past)
    helper = decide_size(settings, variables, helper=True)
    public = job.public_variables
    logins = collect_logins(variables.get(VARIABLE, ""), managers_logins, job.credentials or [])
    plan = PodPlan(
        name=names.pod_name(runner=runner, job_id=job.id, attempt=attempt),
        namespace=namespace,
        labels=_labels(settings.kubernetes.pod_labels, public)
        | names.job_labels(job, runner=runner, attempt=attempt)
        | names.graph_labels(public),
        # The operator may say how long a pod is to stay, but not what the job is.
        annotations=names.STAY
        | _annotations(settings.kubernetes.pod_annotations, public)
        | names.job_annotations(job, public)
        | _expected(past.measured),
        build=_build_container(job, settings, build.size, honors=variables.get("FF_KUBERNETES_HONOR_ENTRYPOINT") == "true"),
        helper=ContainerPlan(
            name="helper",
            image=expand(settings.kubernetes.helper_image, {"CI_RUNNER_VERSION": variables.get("CI_RUNNER_VERSION", "")}),
            entrypoint=[],
            honors_image_entrypoint=False,
            pull_policy=_operators_policies(settings)[0],
            later_pull_policies=_operators_policies(settings)[1:],
            size=helper.size,
        ),
        deadline_seconds=min(job.runner_info.timeout_seconds + DEADLINE_MARGIN_SECONDS, _LONGEST_DEADLINE_SECONDS),
        registries=logins.found,
        settings=settings,
        chosen=_chosen(job) | build.asked | {f"helper {resource}" for resource in helper.asked},
    )
    notes = build.notes + helper.notes + ignored_variables(variables)
    return Planned(plan=plan, notes=notes, warnings=build.warnings + helper.warnings + logins.warnings)


def next_pull_policy(plan: PodPlan, container: str) -> PodPlan | None:
    """Return the pod that tries a container's next pull policy; None if there is none, or no container's pull has failed."""
    failed = next((one for one in plan.containers if one.name == container), None)
    if failed is None or not failed.later_pull_policies:
        return None
    policy, *later = failed.later_pull_policies
    changed = msgspec.structs.replace(failed, pull_policy=policy, later_pull_policies=later)
    name = f"{plan.name}-{policy.lower()}"  # the failed pod keeps its own name until it is gone
    return msgspec.structs.replace(plan, name=name, **{container: changed})


def _chosen(job: Job) -> frozenset[str]:
    """Return what of the image's description the job itself has chosen."""
    image = job.image or Image()
    options = image.executor_opts.kubernetes if image.executor_opts else None
    chosen = {
        "image": image.name,
        "entrypoint": any(image.entrypoint or []),
        "pull policy": image.pull_policy,
        "user": options and options.user,
    }
    return frozenset(key for key, value in chosen.items() if value)


def runner_name(variables: dict[str, str]) -> str:
    """Return the runner's name: the short form of its token, which GitLab shows everywhere."""
    return variables.get("CI_RUNNER_SHORT_TOKEN") or variables.get("CI_RUNNER_ID") or "unknown"


_KUBERNETES_POLICY = {"": "", "always": "Always", "if-not-present": "IfNotPresent", "never": "Never"}


def _build_container(job: Job, settings: Settings, size: Size, *, honors: bool) -> ContainerPlan:
    """Plan the container in which the user's scripts run."""
    image = job.image or Image()
    name = image.name or settings.kubernetes.image
    if not name:
        raise RequestError(
            "the job names no image, or one whose variables are empty (such as `image: $UNDEFINED`); there is no default: "
            "set `image:` in the job, and the variables in it"
        )
    allowed = settings.kubernetes.allowed_images
    if allowed and name != settings.kubernetes.image and not any(matches(pattern, name) for pattern in allowed):
        raise RequestError(f'image "{name}" is not allowed; use one that matches: {", ".join(allowed)}')
    # As in the official executor, an entrypoint runs only if the job asks for it.
    entrypoint = [argument for argument in image.entrypoint or [] if argument] if honors else []
    user, group = _user(image, settings)
    policies = _pull_policies(image, settings)
    return ContainerPlan(
        name="build",
        image=name,
        entrypoint=entrypoint,
        honors_image_entrypoint=honors and not image.entrypoint,
        pull_policy=policies[0],
        later_pull_policies=policies[1:],
        size=size,
        run_as_user=user,
        run_as_group=group,
    )


def _operators_policies(settings: Settings) -> list[str]:
    """Return the operator's pull policies as Kubernetes spells them, at least one; "" is the cluster's default."""
    policy = settings.kubernetes.pull_policy
    return [_KUBERNETES_POLICY[one] for one in ([policy] if isinstance(policy, str) else policy)] or [""]


def _pull_policies(image: Image, settings: Settings) -> list[str]:
    """Return the job's pull policies if it names any, else the operator's. Raises RequestError if none is allowed."""
    asked = [image.pull_policy] if isinstance(image.pull_policy, str) else image.pull_policy or []
    default = _operators_policies(settings)
    if not asked:
        return default
    known = {spelled: ours for ours, spelled in _KUBERNETES_POLICY.items() if ours}
    allowed = [*settings.kubernetes.allowed_pull_policies, *(known[policy] for policy in default if policy)]
    chosen = [_KUBERNETES_POLICY[policy] for policy in asked if policy in allowed]
    if not chosen:
        raise RequestError(
            f"pull policy {', '.join(asked)} is not allowed; allowed: {', '.join(allowed) or 'none: omit pull_policy'}"
        )
    return chosen


def _user(image: Image, settings: Settings) -> tuple[int | None, int | None]:
    """Return the user and group that the job's image asks for (`image:kubernetes:user`)."""
    options = image.executor_opts.kubernetes if image.executor_opts else None
    if options is None or options.user is None or options.user == "":
        return None, None
    text = str(options.user)
    user, _, group = text.partition(":")
    if not (user.isdecimal() and (group.isdecimal() or not group)):
        raise RequestError(f"image:kubernetes:user {text!r} is neither `uid` nor `uid:gid`")
    if settings.hardened and int(user) == 0:
        raise RequestError("image:kubernetes:user is root, which the operator's `hardened = true` does not allow")
    if settings.kubernetes.allowed_users and text not in settings.kubernetes.allowed_users:
        raise RequestError(f"user {text} is not allowed; allowed: {', '.join(settings.kubernetes.allowed_users)}")
    return int(user), int(group) if group else None


def _labels(templates: dict[str, str], public: dict[str, str]) -> dict[str, str]:
    found = {expand(key, public): names.label_value(expand(value, public)) for key, value in templates.items()}
    return {key: value for key, value in found.items() if names.is_key(key)}


def _expected(measured: MeasuredSize | None) -> dict[str, str]:
    """Return how long such a job has taken, for what looks ahead; nothing if that is not known."""
    seconds = measured.expected_seconds if measured else None
    return {} if seconds is None else {names.EXPECTED_SECONDS: str(max(math.ceil(seconds), 1))}


def _annotations(templates: dict[str, str], public: dict[str, str]) -> dict[str, str]:
    found = {expand(key, public): names.bounded(expand(value, public)) for key, value in templates.items()}
    return {key: value for key, value in found.items() if names.is_key(key)}
