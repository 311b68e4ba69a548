"""Names, labels and annotations of the objects that the driver creates in a cluster: sweepers and dashboards read them.

Described in docs/reference/labels.md. The keys below `runner.gitlab.com` are the official executor's, so that existing
dashboards and cleaners work. Source: gitlab-runner executors/kubernetes/kubernetes.go, `buildLabels`, `buildAnnotations`.
"""

import hashlib
import re

from executor.job import Job

OURS = "spack-farm.io"
MANAGED_BY = f"{OURS}/managed-by"
JOB_ID = f"{OURS}/job-id"
ATTEMPT = f"{OURS}/attempt"
RUNNER = f"{OURS}/runner"
CONTROL_PROTOCOL = f"{OURS}/control-protocol"
GRAPH = f"{OURS}/graph"
GRAPH_JOB = f"{OURS}/graph-job"
EXPECTED_SECONDS = f"{OURS}/expected-seconds"
OUTCOME = f"{OURS}/outcome"
"""Written before the pod is deleted: what became of the job, in the words of telemetry.json."""
WAITING = f"{OURS}/waiting"
"""Written by the autoscaler: why the pod waits."""
_GRAPH_KEYS = {GRAPH: "SPACK_FARM_GRAPH", GRAPH_JOB: "SPACK_FARM_GRAPH_JOB"}
"""Label -> the variable by which a generated pipeline says where in its job graph a job stands."""
_GRAPH_KEY = re.compile(r"[a-z2-7]{7,63}", re.ASCII)
"""A digest or a spec hash: base32 in lower case, whole. What differs is not a key that a job graph could have."""
STAY = {"karpenter.sh/do-not-disrupt": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
"""Annotations by which Karpenter and the Cluster Autoscaler leave a running pod where it is."""
_LABEL_LENGTH = 63
_ANNOTATION_LENGTH = 4096
_PREFIX_LENGTH = 253


def pod_name(*, runner: str, job_id: int, attempt: str) -> str:
    """Return the name of an attempt's pod: a pure function, so that any later process finds it with one GET."""
    digest = hashlib.sha256(f"{runner}\0{job_id}\0{attempt}".encode()).hexdigest()
    return f"job-{job_id}-{digest[:16]}"


def history_name(job: Job) -> str:
    """Return the name of a job's attempt history: a retry has a new id, but the same project, pipeline and name."""
    same = f"{job.job_info.project_id}\0{job.job_info.pipeline_id}\0{job.job_info.name}"
    return f"memory-{hashlib.sha256(same.encode()).hexdigest()[:24]}"


def label_value(text: str) -> str:
    """Return the text as a label's value: at most 63 of letters, digits, `-_.`, with a letter or digit at both ends."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:_LABEL_LENGTH].strip("_.-")


def is_key(text: str) -> bool:
    """Return whether the text can be the key of a label or an annotation."""
    prefix, _, name = text.rpartition("/")
    named = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", name) is not None
    prefixed = not prefix or (len(prefix) <= _PREFIX_LENGTH and re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", prefix))
    return named and bool(prefixed)


def job_labels(job: Job, *, runner: str, attempt: str) -> dict[str, str]:
    """Return the labels of an attempt's objects."""
    namespace = job.job_info.project_full_path.rpartition("/")[0]
    labels = {
        MANAGED_BY: "executor",
        JOB_ID: str(job.id),
        RUNNER: runner,
        ATTEMPT: attempt,
        "project.runner.gitlab.com/id": str(job.job_info.project_id),
        "project.runner.gitlab.com/name": job.job_info.project_name,
        "project.runner.gitlab.com/namespace-id": str(job.job_info.namespace_id),
        "project.runner.gitlab.com/namespace": namespace,
        "project.runner.gitlab.com/root-namespace": namespace.partition("/")[0],
        "manager.runner.gitlab.com/id-short": runner,
    }
    return {key: label_value(value) for key, value in labels.items()}


def graph_labels(public: dict[str, str]) -> dict[str, str]:
    """Return the labels that tie a pod to its job graph; none for a job that is not of a generated pipeline."""
    labels = {label: public.get(variable, "") for label, variable in _GRAPH_KEYS.items()}
    return labels if all(_GRAPH_KEY.fullmatch(value) for value in labels.values()) else {}


def outcome_of(*, job_status: str, is_lost: bool) -> str:
    """Return what became of a job, in the words of telemetry.json; `job_status` is GitLab's, "" where it is not known."""
    if is_lost or job_status not in {"success", "failed"}:
        return "interrupted"
    return "script_succeeded" if job_status == "success" else "script_failed"


def job_annotations(job: Job, public: dict[str, str]) -> dict[str, str]:
    """Return the official executor's annotations, bounded in length."""
    annotations = {
        "job.runner.gitlab.com/id": str(job.id),
        "job.runner.gitlab.com/url": public.get("CI_JOB_URL", ""),
        "job.runner.gitlab.com/sha": job.git_info.sha,
        "job.runner.gitlab.com/before_sha": job.git_info.before_sha,
        "job.runner.gitlab.com/ref": job.git_info.ref,
        "job.runner.gitlab.com/name": job.job_info.name,
        "job.runner.gitlab.com/timeout": f"{job.runner_info.timeout_seconds}s",
        "project.runner.gitlab.com/id": str(job.job_info.project_id),
    }
    return {key: bounded(value) for key, value in annotations.items()}


def bounded(text: str) -> str:
    """Return an annotation's value of bounded length."""
    return text[:_ANNOTATION_LENGTH]
