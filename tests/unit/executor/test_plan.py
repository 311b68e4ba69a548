"""From job and settings to a pod: what the job may choose, what only the operator may, and how both are written down."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import names
from executor.errors import RequestError
from executor.job import Job, Variable, expand
from executor.manifest import agent_files_manifest, pod_manifest, pull_secret_manifest
from executor.plan import DEADLINE_MARGIN_SECONDS, PodPlan, make_plan
from executor.pod_agent import PROTOCOL_VERSION
from executor.settings import Settings, load_settings

OURS = ["/.spack-farm-agent/build"]


def settings(top: dict[str, Any] | None = None, **kubernetes: Any) -> Settings:
    base = load_settings(None)
    return msgspec.structs.replace(base, kubernetes=msgspec.structs.replace(base.kubernetes, **kubernetes), **(top or {}))


def job(**changes: Any) -> Job:
    document = {"id": 7, "image": {"name": "alpine:3"}, "runner_info": {"timeout": 600}} | changes
    return msgspec.convert(document, Job)


def plan(of: Job | None = None, over: Settings | None = None, **variables: str) -> PodPlan:
    told = {"CI_RUNNER_SHORT_TOKEN": "abcd", "CI_RUNNER_VERSION": "19.4.0"} | variables
    return make_plan(of or job(), over or settings(), told, namespace="ns", attempt="custom-executor1").plan


def manifest(of: Job | None = None, over: Settings | None = None, **variables: str) -> dict[str, Any]:
    return pod_manifest(plan(of, over, **variables))


def container(name: str, document: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in document["spec"]["containers"] if one["name"] == name)
    return dict(found)


def test_the_pod_is_named_by_runner_job_and_attempt_alone() -> None:
    assert plan().name == plan(job(image={"name": "other"})).name
    assert len({plan().name, plan(job(id=8)).name, plan(CI_RUNNER_SHORT_TOKEN="efgh").name}) == 3
    assert plan().name.startswith("job-7-")


def test_the_pods_deadline_is_after_the_jobs_own() -> None:
    spec = manifest()["spec"]
    assert spec["activeDeadlineSeconds"] == 600 + DEADLINE_MARGIN_SECONDS
    assert spec["restartPolicy"] == "Never"


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_job_without_a_timeout_has_the_runners_own(timeout: int) -> None:
    spec = manifest(job(runner_info={"timeout": timeout}))["spec"]
    assert spec["activeDeadlineSeconds"] == 7200 + DEADLINE_MARGIN_SECONDS
    assert plan(job(runner_info={"timeout": timeout})).annotations["job.runner.gitlab.com/timeout"] == "7200s"


def test_a_timeout_of_centuries_is_one_that_the_api_server_takes() -> None:
    assert manifest(job(runner_info={"timeout": 1 << 40}))["spec"]["activeDeadlineSeconds"] == (1 << 31) - 1


def test_images_come_from_the_job_and_the_helpers_from_the_operator() -> None:
    assert plan().build.image == "alpine:3"
    assert plan().helper.image.endswith("x86_64-v19.4.0")
    assert plan(job(image=None), settings(image="default:1")).build.image == "default:1"
    for nothing in (None, {"name": ""}):  # the Runner has expanded the name already
        with pytest.raises(RequestError, match=r"names no image, or one whose variables are empty \(such as .*UNDEFINED"):
            plan(job(image=nothing))


def test_an_image_that_is_not_allowed_is_refused_naming_those_that_are() -> None:
    allowed = settings(allowed_images=["registry.example/*"])
    assert plan(job(image={"name": "registry.example/a:1"}), allowed).build.image == "registry.example/a:1"
    with pytest.raises(RequestError, match=r'"alpine:3" is not allowed; use one that matches: registry.example/\*'):
        plan(job(), allowed)


@pytest.mark.parametrize(
    ("entrypoint", "flag", "keys", "first"),
    [
        (None, "false", {"command"}, OURS),
        ([""], "false", {"command"}, OURS),
        (["/tini", "--"], "false", {"command"}, OURS),
        (["/tini", "--"], "true", {"command", "args"}, ["/tini", "--"]),
        (None, "true", {"args"}, None),
        ([], "true", {"args"}, None),
        ([""], "true", {"command"}, OURS),
    ],
)
def test_an_entrypoint_runs_only_if_the_job_asks_for_it(
    entrypoint: list[str] | None, flag: str, keys: set[str], first: list[str] | None
) -> None:
    """As in the official executor. `entrypoint: [""]` means none, also where the image's own is honored."""
    of = job(image={"name": "a", "entrypoint": entrypoint})
    build = container("build", manifest(of, FF_KUBERNETES_HONOR_ENTRYPOINT=flag))
    assert keys == set(build) & {"command", "args"}
    assert build.get("command") == first
    assert build.get("args", OURS) == OURS
    assert plan(of, FF_KUBERNETES_HONOR_ENTRYPOINT=flag).build.has_entrypoint == ("args" in keys)


def test_kubernetes_expands_nothing_in_an_entrypoint() -> None:
    of = job(image={"name": "a", "entrypoint": ["sh", "-c", 'echo $(HOME) $HOME; exec "$@"', "x"]})
    command = container("build", manifest(of, FF_KUBERNETES_HONOR_ENTRYPOINT="true"))["command"]
    assert command[2] == 'echo $$(HOME) $$HOME; exec "$$@"'


def test_the_pod_agent_comes_by_a_config_map_that_the_plan_names() -> None:
    files = agent_files_manifest(plan())
    assert files["metadata"]["namespace"] == "ns"
    assert files["immutable"]
    volumes = {volume["name"]: volume for volume in manifest()["spec"]["volumes"]}
    assert volumes["agent"]["configMap"] == {"name": files["metadata"]["name"], "defaultMode": 0o555}
    for name in ("build", "helper"):
        assert {"name": "agent", "mountPath": "/.spack-farm-agent", "readOnly": True} in container(name, manifest())[
            "volumeMounts"
        ]


@pytest.mark.parametrize(
    ("asked", "allowed", "default", "policy"),
    [
        (None, [], "", ""),
        (None, [], "always", "Always"),
        ("if-not-present", ["if-not-present"], "always", "IfNotPresent"),
        (["never", "always"], ["always"], "", "Always"),
    ],
)
def test_the_pull_policy_is_the_jobs_where_it_may_choose(asked: Any, allowed: Any, default: str, policy: str) -> None:
    planned = plan(
        job(image={"name": "a", "pull_policy": asked}), settings(allowed_pull_policies=allowed, pull_policy=default)
    )
    assert planned.build.pull_policy == policy


def test_a_pull_policy_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(RequestError, match="pull policy never is not allowed"):
        plan(job(image={"name": "a", "pull_policy": "never"}))


@pytest.mark.parametrize(("user", "uid", "gid"), [("1000", 1000, None), ("1000:100", 1000, 100), (1000, 1000, None)])
def test_the_jobs_user_is_taken(user: Any, uid: int, gid: int | None) -> None:
    image = {"name": "a", "executor_opts": {"kubernetes": {"user": user}}}
    context = container("build", manifest(job(image=image)))["securityContext"]
    assert (context["runAsUser"], context.get("runAsGroup")) == (uid, gid)
    assert "runAsUser" not in container("helper", manifest(job(image=image)))["securityContext"]


@pytest.mark.parametrize("user", ["root", "1000:users", "-1", ":"])
def test_a_user_that_is_no_number_is_refused(user: str) -> None:
    with pytest.raises(RequestError, match="neither `uid` nor `uid:gid`"):
        plan(job(image={"name": "a", "executor_opts": {"kubernetes": {"user": user}}}))


def test_a_user_that_is_not_allowed_is_refused() -> None:
    image = {"name": "a", "executor_opts": {"kubernetes": {"user": "0"}}}
    with pytest.raises(RequestError, match="user 0 is not allowed; allowed: 1000"):
        plan(job(image=image), settings(allowed_users=["1000"]))


def test_the_default_security_is_the_official_executors_and_a_little_more() -> None:
    document = manifest()
    assert document["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert document["spec"]["automountServiceAccountToken"] is False
    for name in ("build", "helper"):
        context = container(name, document)["securityContext"]
        assert context["capabilities"] == {"drop": ["NET_RAW"]}
        assert "privileged" not in context
    assert not any("hostPath" in volume for volume in document["spec"]["volumes"])


def test_hardened_drops_everything_whatever_else_is_set() -> None:
    loose = settings({"hardened": True}, cap_add=["SYS_ADMIN"], privileged=True, allow_privilege_escalation=True)
    for name in ("build", "helper"):
        context = container(name, manifest(over=loose))["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert not context.get("privileged")


@pytest.mark.parametrize("user", ["0", "00", "0:0"])
def test_hardened_refuses_root(user: str) -> None:
    with pytest.raises(RequestError, match="root, which the operator's `hardened = true` does not allow"):
        plan(job(image={"name": "a", "executor_opts": {"kubernetes": {"user": user}}}), settings({"hardened": True}))


def test_a_jobs_variables_change_nothing_but_its_sizes() -> None:
    """They are the user's words: what the official executor lets operators open, this driver does not read."""
    wishes = {
        "KUBERNETES_NAMESPACE_OVERWRITE": "kube-system",
        "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE": "admin",
        "KUBERNETES_BEARER_TOKEN": "t",
        "KUBERNETES_NODE_SELECTOR_A": "a=b",
        "KUBERNETES_NODE_TOLERATIONS_A": "a=b:NoSchedule",
        "KUBERNETES_POD_LABELS_A": "a=b",
        "KUBERNETES_POD_ANNOTATIONS_A": "a=b",
        "KUBERNETES_MEMORY_REQUEST": "1Gi",  # without a cap
        "CI_JOB_IMAGE": "other",
        "CI_JOB_TIMEOUT": "9",
        "CI_JOB_ID": "9",
    }
    assert manifest(None, None, **wishes) == manifest()


def test_sizes_are_written_as_exact_quantities_and_absent_ones_left_out() -> None:
    capped = settings(memory_request_overwrite_max_allowed="64G", cpu_request="750m")
    resources = container("build", manifest(over=capped, KUBERNETES_MEMORY_REQUEST="16G"))["resources"]
    assert resources == {"requests": {"cpu": "750m", "memory": "15625000Ki"}, "limits": {}}


def test_where_pods_run_comes_from_the_operator() -> None:
    over = settings(
        node_selector={"arch": "v3"},
        node_tolerations={"farm=true": "NoSchedule", "spot": "", "any": "NoExecute"},
        service_account="runner",
        priority_class_name="low",
    )
    spec = manifest(over=over)["spec"]
    assert (spec["nodeSelector"], spec["serviceAccountName"], spec["priorityClassName"]) == ({"arch": "v3"}, "runner", "low")
    assert spec["tolerations"] == [
        {"key": "farm", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
        {"key": "any", "operator": "Exists", "effect": "NoExecute"},
    ]
    assert "schedulerName" not in spec


def test_our_labels_win_over_the_operators_and_bad_keys_are_left_out() -> None:
    over = settings(pod_labels={names.JOB_ID: "0", "$NAME": "x", "team": "$TEAM"})
    of = job(
        variables=[{"key": "NAME", "value": "no key!", "public": True}, {"key": "TEAM", "value": "a b", "public": True}]
    )
    labels = manifest(of, over)["metadata"]["labels"]
    assert labels[names.JOB_ID] == "7"
    assert labels["team"] == "a_b"
    assert all(names.is_key(key) for key in labels)


def test_the_official_executors_annotations_are_there() -> None:
    of = job(git_info={"ref": "main", "sha": "1" * 40}, job_info={"name": "build zlib", "project_id": 4})
    annotations = manifest(of)["metadata"]["annotations"]
    assert annotations["job.runner.gitlab.com/name"] == "build zlib"
    assert annotations["job.runner.gitlab.com/timeout"] == "600s"
    assert annotations["project.runner.gitlab.com/id"] == "4"
    assert annotations[names.CONTROL_PROTOCOL] == str(PROTOCOL_VERSION)


def test_the_official_executors_labels_are_there() -> None:
    info = {"project_id": 4, "project_name": "zlib", "project_full_path": "spack/team one/zlib", "namespace_id": 9}
    labels = manifest(job(job_info=info))["metadata"]["labels"]
    prefix = "project.runner.gitlab.com/"
    told = {key.removeprefix(prefix): value for key, value in labels.items() if key.startswith(prefix)}
    assert told == {
        "id": "4", "name": "zlib", "namespace-id": "9", "namespace": "spack_team_one", "root-namespace": "spack",
    }  # fmt: skip
    assert labels["manager.runner.gitlab.com/id-short"] == "abcd"


def test_registries_become_a_secret_of_the_pod() -> None:
    credentials = [
        {"type": "registry", "url": "r.example", "username": "u", "password": "p"},
        {"type": "other", "url": "x", "username": "u", "password": "p"},
    ]
    of = job(credentials=credentials)
    assert manifest(of)["spec"]["imagePullSecrets"] == [{"name": plan(of).name}]
    secret = pull_secret_manifest(plan(of), pod_uid="uid-1")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert repr(of.credentials).startswith("[Credential(r.example, ***)")
    assert "imagePullSecrets" not in manifest()["spec"]


@pytest.mark.parametrize("what", ["run", "services"])
def test_what_the_driver_does_not_offer_is_refused(what: str) -> None:
    with pytest.raises(RequestError, match=f"`{what}:`"):
        plan(job(**{what: [{"name": "x"}]}))


VARIABLES = st.dictionaries(
    st.sampled_from("ABCD"), st.sampled_from(["", "x", "$A", "${B}x", "$C$D", "$", "${", "$-", "a$b"])
)


@given(st.text(alphabet="AB${}x-", max_size=20), VARIABLES)
def test_templates_end_and_bring_in_only_what_was_given(template: str, variables: dict[str, str]) -> None:
    assert set(expand(template, variables)) <= set(template + "".join(variables.values()))


def test_a_later_variable_that_is_not_public_hides_an_earlier_public_one() -> None:
    listed = [Variable("A", "seen", public=True), Variable("A", "hidden", public=False), Variable("B", "seen", public=True)]
    assert Job(id=1, variables=listed).public_variables == {"B": "seen"}


@given(st.text(max_size=100))
def test_label_values_are_always_valid(text: str) -> None:
    value = names.label_value(text)
    assert len(value) <= 63
    assert not value or (value[0].isalnum() and value[-1].isalnum() and value.isascii())


@given(st.text(max_size=40), st.integers(min_value=0), st.text(max_size=40))
def test_pod_names_are_always_valid(runner: str, job_id: int, attempt: str) -> None:
    name = names.pod_name(runner=runner, job_id=job_id, attempt=attempt)
    assert len(name) <= 63
    assert name.replace("-", "a").isalnum()
    assert name.islower()
