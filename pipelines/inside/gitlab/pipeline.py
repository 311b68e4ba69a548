"""From a planned stack to GitLab's pipelines, as values: jobs, needs, child pipelines, variables. Pure.

Where GitLab has a limit, the pipeline keeps to it by its form: needs are gathered, jobs are divided into child pipelines,
what jobs have in common is written once (`extends`), and what can't be kept is rejected with the job's name.
Source: Spack 1.1, lib/spack/spack/ci/gitlab.py; GitLab's reference of `.gitlab-ci.yml`.
"""

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import ci_section
from ..specs import BadRequest, Spec
from . import names, needs, parts, yaml_text

RETRY: Dict[str, Any] = {
    "max": 2,
    "when": [
        "api_failure",
        "data_integrity_failure",
        "runner_system_failure",
        "scheduler_failure",
        "stale_schedule",
        "stuck_or_timeout_failure",
    ],
    "exit_codes": [4, 100, 137],
}
"""What another try may cure: servers and nodes that were away (4: fetch, 100: publish), and too little memory (137)."""
SERVICE_RETRY = {"max": 2, "when": ["runner_system_failure", "stuck_or_timeout_failure", "script_failure"]}
DO_NOTHING = {"GIT_STRATEGY": "none", "KUBERNETES_CPU_REQUEST": "100m", "KUBERNETES_MEMORY_REQUEST": "64Mi"}
PARENT = "PARENT_PIPELINE_ID"
_ENVELOPE_BYTES = 16384
"""Parsed bytes that a part has beside its jobs, apart from what they share."""
_PER_NEED_BYTES = 192 + 40 + 40 + 40 + 40 + 8


class Settings(NamedTuple):
    """What holds for a whole stack."""

    stack: str
    pipeline_type: str
    """`PROTECTED_BRANCH`, `PULL_REQUEST`, `COPY_ONLY` or empty."""
    group: str
    """The build group of CDash; empty without CDash."""
    artifacts_root: str
    """Relative to the project's folder, for `concrete_environment` and what jobs leave."""
    output_folder: str
    """Where the YAML lies, relative to the project's folder."""
    generate_job: str
    """The job that has the concrete environment as artifact."""
    pipeline_id: str
    """Its pipeline; a variable in most cases."""
    mirror_push: str
    mirror_fetch: str
    mirror_source: str
    """Of a copy-only pipeline."""
    rebuild_index: bool
    variables: Dict[str, str]
    """Of all jobs."""
    most_name: int
    most_needs: int
    room: parts.Room
    may_divide: bool
    """Whether child pipelines of this one are allowed: GitLab has two levels of them."""


class Plan(NamedTuple):
    """What is to be built: jobs in the order in which they should start."""

    specs: Dict[str, Spec]
    order: List[str]
    needs: Dict[str, List[str]]
    jobs: ci_section.Jobs


class Pipelines(NamedTuple):
    """Documents by path, the first is the parent; the name and the part of each spec's job."""

    documents: Dict[str, Dict[str, Any]]
    names: Dict[str, str]
    parts: Dict[str, str]


def pipelines(plan: Plan, settings: Settings) -> Pipelines:
    """Return the pipelines of a stack. Raises BadRequest where a limit can't be kept."""
    if settings.pipeline_type == "COPY_ONLY":
        return Pipelines({"pipeline.yml": _copying(plan, settings)}, {}, {})
    if not plan.order:
        noop = dict(plan.jobs.named["noop"], retry=0, allow_failure=True)
        noop["script"] = ci_section.script(noop.get("script", []))
        return Pipelines({"pipeline.yml": {"workflow": _ALWAYS, "no-specs-to-rebuild": noop}}, {}, {})
    titles = _titles(plan, settings)
    bodies = {key: _body(plan, key, settings) for key in plan.order}
    work = _Work(plan, settings, bodies, titles)
    weights = {
        key: yaml_text.parsed_bytes({titles[key]: {k: v for k, v in bodies[key].items() if k in _OWN}})
        + _PER_NEED_BYTES * (1 + len(plan.needs[key]))
        + sum(yaml_text.parsed_bytes(titles[need]) for need in plan.needs[key])
        for key in plan.order
    }
    shared = _shared_bytes(bodies)
    room = parts.Room(settings.room.jobs, settings.room.parsed_bytes - shared - _ENVELOPE_BYTES)
    divided = parts.divided(plan.needs, plan.order, weights, room)
    if len(divided) == 1:
        document = _document(plan.order, work)
        return Pipelines({"pipeline.yml": _with_services(document, plan, settings)}, titles, {})
    if not settings.may_divide:
        raise BadRequest(
            f"the stack has {len(plan.order)} jobs, more than one pipeline may have, and it may have no child pipelines:"
            " GitLab has two levels of them; raise the limits, or generate it one level higher"
        )
    return _with_children(divided, work)


class _Work(NamedTuple):
    """A plan, and each spec's job without its needs, and its name."""

    plan: Plan
    settings: Settings
    bodies: Dict[str, Dict[str, Any]]
    titles: Dict[str, str]


_ALWAYS: Dict[str, Any] = {"rules": [{"when": "always"}]}
_OWN = ("variables", "needs", "stage")
"""What each job has of its own."""


def _titles(plan: Plan, settings: Settings) -> Dict[str, str]:
    found = {
        key: names.job_name(plan.specs[key].name, plan.specs[key].version, key, settings.group, settings.most_name)
        for key in plan.order
    }
    if len(set(found.values())) < len(found):
        raise BadRequest(f"two jobs have one name; allow longer names with --max-name {names.LARGEST}")
    return found


def _body(plan: Plan, key: str, settings: Settings) -> Dict[str, Any]:
    """Return a job without its needs."""
    given = dict(plan.jobs.specs[key])
    if not given.get("script"):
        raise BadRequest(f"{names.plain(plan.specs[key].text)}: the 'ci' section leaves its job without a script")
    tags = tags_of(given, settings)
    if tags:
        given["tags"] = tags
    folder = settings.artifacts_root + "/concrete_environment"
    given["script"] = [line.replace("{env_dir}", folder) for line in ci_section.script(given["script"])]
    for name in ("before_script", "after_script"):
        if name in given:
            given[name] = ci_section.script(given[name])
    own: Dict[str, Any] = {
        "when": "always",
        "paths": [f"{settings.artifacts_root}/{name}" for name in ("logs", "reproduction", "tests", "user_data")],
    }
    given["artifacts"] = ci_section.merged(given.get("artifacts", {}), own)
    given["retry"] = _retry(given.get("retry"))
    given.setdefault("interruptible", True)
    given["stage"] = "build"
    given["variables"] = {
        name: _text(value) for name, value in sorted(dict(given.get("variables", {}), SPACK_FARM_GRAPH_JOB=key).items())
    }
    return given


def tags_of(attributes: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return the tags of a build job: those of the `ci` section, and the one that says how far its binaries are trusted."""
    tags = [str(tag) for tag in attributes.get("tags", []) if tag not in ci_section.RESERVED_TAGS]
    return tags + {"PROTECTED_BRANCH": ["protected"], "PULL_REQUEST": ["public"]}.get(settings.pipeline_type, [])


def _retry(given: Any) -> Dict[str, Any]:
    """Return what a job is tried again for; what the `ci` section says of it replaces ours, key by key."""
    if given is None or isinstance(given, dict):
        return dict(RETRY, **(given or {}))
    return dict(RETRY, max=given)


def _text(value: Any) -> Any:
    """Return a variable's value as GitLab takes it: texts, and mappings with `value` and `expand`."""
    if isinstance(value, (str, dict)):
        return value
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _shared_bytes(bodies: Mapping[str, Mapping[str, Any]]) -> int:
    kinds = {_kind(body): body for body in bodies.values()}
    return sum(
        yaml_text.parsed_bytes({name: item for name, item in body.items() if name not in _OWN}) for body in kinds.values()
    )


def _kind(body: Mapping[str, Any]) -> str:
    return json.dumps({name: item for name, item in body.items() if name not in _OWN}, sort_keys=True)


def _document(order: Sequence[str], work: _Work) -> Dict[str, Any]:
    """Return a pipeline with the jobs of some specs; needs of others are left to the order of the parts."""
    plan, settings, bodies, titles = work
    inside = set(order)
    own = {key: [titles[need] for need in plan.needs[key] if need in inside] for key in order}
    # every job has one need of the job that generated the pipeline
    found = needs.gathered(own, settings.most_needs - 1, settings.most_needs)
    document: Dict[str, Any] = {
        "stages": ["build"],
        "workflow": _ALWAYS,
        "variables": dict(sorted(settings.variables.items())),
    }
    kinds: Dict[str, List[str]] = {}
    for key in order:
        kinds.setdefault(_kind(bodies[key]), []).append(key)
    templates: Dict[str, Tuple[str, Dict[str, Any]]] = {}
    for kind, keys in kinds.items():
        if len(keys) > 1:
            name = f".build-{len(templates) + 1}"
            common = _common([bodies[key]["variables"] for key in keys])
            shared = {item: value for item, value in bodies[keys[0]].items() if item not in _OWN}
            if common:
                shared["variables"] = common
            document[name] = _sorted(shared)
            templates[kind] = (name, common)
    generate = {"job": settings.generate_job, "pipeline": settings.pipeline_id}
    document.update(_gathers(found.gathers, plan))
    for key in order:
        name, common = templates.get(_kind(bodies[key]), ("", {}))
        body: Dict[str, Any] = (
            {"extends": name} if name else _sorted({k: v for k, v in bodies[key].items() if k not in _OWN})
        )
        body["stage"] = "build"
        body["needs"] = [{"job": need, "artifacts": False} for need in found.needs[key]] + [generate]
        body["variables"] = {k: v for k, v in bodies[key]["variables"].items() if common.get(k) != v}
        document[titles[key]] = body
    return document


def _common(variables: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    first = variables[0]
    return {name: first[name] for name in first if all(each.get(name) == first[name] for each in variables)}


def _sorted(body: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a job with its keys in one order, whatever the order in which sections were merged."""
    place = {name: number for number, name in enumerate(_KEY_ORDER)}
    return {name: body[name] for name in sorted(body, key=lambda name: (place.get(name, len(place)), name))}


_KEY_ORDER = [
    "image",
    "tags",
    "stage",
    "needs",
    "variables",
    "before_script",
    "script",
    "after_script",
    "artifacts",
    "cache",
    "retry",
    "interruptible",
]


def _gathers(gathers: Mapping[str, Sequence[str]], plan: Plan) -> Dict[str, Dict[str, Any]]:
    return {
        name: dict(
            _place_of(plan),
            stage="build",
            needs=[{"job": need, "artifacts": False} for need in gathers[name]],
            variables=dict(DO_NOTHING),
            script=["true"],
            retry=dict(RETRY),
            interruptible=True,
        )
        for name in gathers
    }


def _place_of(plan: Plan) -> Dict[str, Any]:
    """Return image and tags for a job that does nothing: those of the `noop` job, else those of the first build."""
    noop, first = plan.jobs.named["noop"], plan.jobs.specs[plan.order[0]]
    found: Dict[str, Optional[Any]] = {name: noop.get(name) or first.get(name) for name in ("image", "tags")}
    return {name: value for name, value in found.items() if value}


def _with_services(document: Dict[str, Any], plan: Plan, settings: Settings) -> Dict[str, Any]:
    """Return the pipeline with the jobs that follow all builds: signing on protected branches, and the index."""
    signing = dict(plan.jobs.named["signing"])
    if signing.get("script") and settings.pipeline_type == "PROTECTED_BRANCH":
        document["stages"].append("sign-pkgs")
        document["sign-pkgs"] = _service(
            signing,
            "sign-pkgs",
            {"max": 2, "when": ["always"]},
            SPACK_BUILDCACHE_DESTINATION=settings.mirror_push,
            SPACK_BUILDCACHE_RELATIVE_SPECS_URL="v3/manifests/spec",
            SPACK_BUILDCACHE_RELATIVE_KEYS_URL="v3/manifests/key",
        )
    if settings.rebuild_index:
        document["stages"].append("rebuild-index")
        reindex = _service(dict(plan.jobs.named["reindex"]), "rebuild-index", SERVICE_RETRY)
        reindex["script"] = [line.replace("{index_target_mirror}", settings.mirror_push) for line in reindex["script"]]
        document["rebuild-index"] = reindex
    return document


def _service(given: Dict[str, Any], stage: str, retry: Mapping[str, Any], **variables: str) -> Dict[str, Any]:
    for name in ("before_script", "script", "after_script"):
        if name in given:
            given[name] = ci_section.script(given[name])
    if given.get("variables") or variables:
        merged = dict(given.get("variables", {}), **variables)
        given["variables"] = {name: _text(value) for name, value in sorted(merged.items())}
    return _sorted(dict(given, stage=stage, when="always", retry=dict(retry), interruptible=True, dependencies=[]))


def _copying(plan: Plan, settings: Settings) -> Dict[str, Any]:
    """Return the pipeline that copies all binaries of the stack from another build cache."""
    if not settings.mirror_source:
        raise BadRequest("a copy-only pipeline needs a mirror named 'buildcache-source'; add it to Spack's mirrors")
    given = dict(plan.jobs.named["copy"])
    if not given.get("script"):
        raise BadRequest("a copy-only pipeline needs a 'copy-job' with a script in the 'ci' section")
    job = _service(
        given,
        "copy",
        SERVICE_RETRY,
        SPACK_COPY_ONLY_DESTINATION=settings.mirror_fetch,
        SPACK_BUILDCACHE_RELATIVE_KEYS_URL="v3/manifests/key",
        SPACK_BUILDCACHE_SOURCE=settings.mirror_source,
    )
    del job["when"]
    job["needs"] = [{"job": settings.generate_job, "pipeline": settings.pipeline_id}]
    document = {
        "stages": ["copy"],
        "workflow": _ALWAYS,
        "variables": dict(sorted(settings.variables.items())),
        "copy": job,
    }
    return _with_services(document, plan, settings)


def _with_children(divided: Sequence[parts.Part], work: _Work) -> Pipelines:
    """Return a parent that triggers a child pipeline for each part, in the order of the parts, and these children."""
    plan, settings, _, titles = work
    paths = {part.name: f"parts/{part.name}.yml" for part in divided}
    children = {paths[part.name]: _document(part.keys, work) for part in divided}
    # GitLab reads a child's YAML from the archive of a job of the same pipeline, and has to unpack all of it
    unpack = "yaml-of-parts"
    parent: Dict[str, Any] = {
        "stages": ["build"],
        "workflow": _ALWAYS,
        "variables": dict(sorted(settings.variables.items())),
        unpack: dict(
            _place_of(plan),
            stage="build",
            needs=[{"job": settings.generate_job, "pipeline": settings.pipeline_id}],
            variables=dict(DO_NOTHING),
            script=[f"ls {settings.output_folder}/parts"],
            artifacts={"paths": [settings.output_folder + "/parts/*.yml"]},
            retry=dict(RETRY),
            interruptible=True,
        ),
    }
    after = needs.gathered({part.name: part.after for part in divided}, settings.most_needs - 1, settings.most_needs)
    parent.update(_gathers(after.gathers, plan))
    for part in divided:
        parent[part.name] = {
            "stage": "build",
            "needs": [{"job": unpack, "artifacts": False}]
            + [{"job": other, "artifacts": False} for other in after.needs[part.name]],
            "variables": {PARENT: settings.pipeline_id},
            "trigger": {
                "include": [{"artifact": f"{settings.output_folder}/{paths[part.name]}", "job": unpack}],
                "strategy": "depend",
                "forward": {"pipeline_variables": True, "yaml_variables": True},
            },
        }
    documents = {"pipeline.yml": _with_services(parent, plan, settings)}
    documents.update(children)
    return Pipelines(documents, dict(titles), {key: part.name for part in divided for key in part.keys})
