"""Golden pipelines: valid by GitLab's own schema and within its limits, the same bytes every time, with no need dropped."""

import hashlib
import json
import random
import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
import yaml

from pipelines.inside import ci_section, document, graph, pruning
from pipelines.inside.gitlab import limits, parts, pipeline, yaml_text
from pipelines.inside.sizes import Row
from pipelines.inside.specs import BadRequest, Spec
from tests.labs.gitlab_schema import gitlab_schema
from tests.labs.made_up_specs import spec
from tests.labs.pipelines import builds, extended, waits_for

SCHEMA = gitlab_schema()
SECTION = {
    "pipeline-gen": [
        {"build-job": {"tags": ["spack"], "image": {"name": "spack:1", "entrypoint": [""]}, "before_script": [["uname"]]}},
        {"signing-job": {"script": ["echo sign"]}},
        {"copy-job": {"script": ["echo copy"], "image": "aws:1"}},
    ]
}
MAPPINGS = ci_section.Specs(lambda _key, _text: False, lambda _wide, _narrow: False, lambda _mapping, _key: {}, "first")


def key_of(name: str) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[byte & 31] for byte in hashlib.sha256(name.encode()).digest())


def settings(**changes: Any) -> pipeline.Settings:
    plain = pipeline.Settings(
        stack="stack",
        pipeline_type="",
        group="",
        artifacts_root="jobs_scratch_dir",
        output_folder="pipeline",
        generate_job="generate",
        pipeline_id="$PARENT_PIPELINE_ID",
        mirror_push="s3://push",
        mirror_fetch="s3://fetch",
        mirror_source="",
        rebuild_index=True,
        variables={"SPACK_ARTIFACTS_ROOT": "jobs_scratch_dir"},
        most_name=128,
        most_needs=50,
        room=parts.Room(498, 2 << 20),
        may_divide=True,
    )
    return plain._replace(**changes)


def made(edges: Mapping[str, Any], section: dict[str, Any] | None = None, **changes: Any) -> pipeline.Pipelines:
    """Return the pipelines of a graph of names."""
    values = {
        key_of(name): spec(name, key=key_of(name), dependencies=tuple(sorted(key_of(need) for need in edges[name])))
        for name in edges
    }
    variables = {
        key: {"SPACK_JOB_SPEC_DAG_HASH": key, "SPACK_JOB_SPEC_PKG_NAME": one.name, "SPACK_JOB_SPEC_VARIANTS": "+a~b x=1"}
        for key, one in values.items()
    }
    jobs = ci_section.jobs(SECTION if section is None else section, variables, MAPPINGS)
    least = graph.reduced({key: one.dependencies for key, one in values.items()})
    order = graph.critical_first(least, dict.fromkeys(least, 60.0))
    return pipeline.pipelines(pipeline.Plan(values, order, least, jobs), settings(**changes))


def environment_of(count: int) -> dict[str, list[str]]:
    """A graph as environments have it: most specs need a handful of earlier ones."""
    chance = random.Random(count)
    names = [f"package-{number:03}" for number in range(count)]
    return {name: chance.sample(names[:at], min(at, chance.choice([0, 1, 2, 3, 6]))) for at, name in enumerate(names)}


EIGHTY: dict[str, list[str]] = {f"dep-{number:02}": [] for number in range(80)}
EIGHTY["top"] = list(EIGHTY)
GOLDEN = {
    "two": {"libhello": [], "hello-app": ["libhello"]},
    "400 specs": environment_of(400),
    "80 independent dependencies": EIGHTY,
    "1100 specs, in parts": environment_of(1100),
}


@pytest.mark.parametrize("name", list(GOLDEN))
def test_a_pipeline_is_valid_by_gitlabs_schema_and_limits(name: str) -> None:
    found = made(GOLDEN[name])
    assert limits.faults(found.documents, limits.Limits()) == []
    for content in found.documents.values():
        jsonschema.Draft7Validator(SCHEMA).validate(yaml.load(yaml_text.document(content), yaml.CSafeLoader))


@pytest.mark.parametrize("name", ["two", "400 specs", "80 independent dependencies"])
def test_a_pipeline_drops_no_need_and_adds_none(name: str) -> None:
    content = extended(made(GOLDEN[name]).documents["pipeline.yml"])
    edges = {key_of(each): [key_of(need) for need in GOLDEN[name][each]] for each in GOLDEN[name]}
    expected: dict[str, set[str]] = {}
    for key in graph.in_order(edges):
        expected[key] = {each for need in edges[key] for each in {need, *expected[need]}}
    assert waits_for(content) == expected
    assert sorted(builds(content).values()) == sorted(edges)


def test_a_package_with_80_dependencies_needs_gather_jobs_and_no_more_than_50() -> None:
    content = made(EIGHTY).documents["pipeline.yml"]
    (gather,) = (name for name in content if name.startswith("gather-"))
    (top,) = (job for name, job in content.items() if name.startswith("top@"))
    assert (len(content[gather]["needs"]), len(top["needs"])) == (32, 50)
    assert content[gather]["script"] == ["true"]
    assert content[gather]["tags"] == ["spack"]


def test_parts_are_triggered_in_the_order_of_the_graph() -> None:
    found = made(environment_of(400), room=parts.Room(100, 2 << 20))
    parent = found.documents["pipeline.yml"]
    triggers = {name: job for name, job in parent.items() if isinstance(job, dict) and "trigger" in job}
    assert len(triggers) == len(found.documents) - 1 == 5
    for name, job in triggers.items():
        assert job["trigger"]["strategy"] == "depend"
        assert job["trigger"]["include"] == [{"artifact": f"pipeline/parts/{name}.yml", "job": "yaml-of-parts"}]
        assert f"parts/{name}.yml" in found.documents
        jsonschema.Draft7Validator(SCHEMA).validate(found.documents[f"parts/{name}.yml"])
    jsonschema.Draft7Validator(SCHEMA).validate(parent)
    of, after = found.parts, {name: {need["job"] for need in job["needs"]} for name, job in triggers.items()}
    for name, key_needs in environment_of(400).items():
        own = of[key_of(name)]
        assert all(of[key_of(need)] == own or of[key_of(need)] in after[own] for need in key_needs)
    assert limits.faults(found.documents, limits.Limits(jobs=110)) == []
    with pytest.raises(BadRequest, match="may have no child pipelines"):
        made(environment_of(400), room=parts.Room(100, 2 << 20), may_divide=False)


def test_a_pipeline_has_the_same_bytes_over_20_runs_in_any_order_of_its_specs() -> None:
    edges = environment_of(150)
    first = [yaml_text.document(each) for each in made(edges).documents.values()]
    for run in range(20):
        names = list(edges)
        random.Random(run).shuffle(names)
        shuffled = {name: random.Random(run).sample(edges[name], len(edges[name])) for name in names}
        assert [yaml_text.document(each) for each in made(shuffled).documents.values()] == first


def test_jobs_start_with_the_longest_way_to_the_end() -> None:
    content = made({"a": [], "b": ["a"], "c": ["b"], "z": []}).documents["pipeline.yml"]
    assert [name.partition("@")[0] for name in content if "@" in name][:2] == ["a", "b"]


def test_what_jobs_have_in_common_is_written_once() -> None:
    content = made(GOLDEN["two"]).documents["pipeline.yml"]
    assert content[".build-1"]["variables"] == {"SPACK_JOB_SPEC_VARIANTS": "+a~b x=1"}
    jobs = [job for name, job in content.items() if "@" in name]
    assert all(set(job) == {"extends", "stage", "needs", "variables"} for job in jobs)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("", ["spack"]), ("PROTECTED_BRANCH", ["spack", "protected"]), ("PULL_REQUEST", ["spack", "public"])],
)
def test_tags_say_how_far_a_pipeline_is_trusted(kind: str, expected: list[str]) -> None:
    content = extended(made(GOLDEN["two"], pipeline_type=kind).documents["pipeline.yml"])
    assert [job["tags"] for name, job in content.items() if "@" in name] == [expected] * 2
    assert ("sign-pkgs" in content) == (kind == "PROTECTED_BRANCH")


def test_nothing_to_build_is_a_pipeline_that_does_nothing() -> None:
    content = made({}).documents["pipeline.yml"]
    assert list(content) == ["workflow", "no-specs-to-rebuild"]
    jsonschema.Draft7Validator(SCHEMA).validate(content)


def test_a_copying_pipeline_has_one_job_and_needs_a_source() -> None:
    content = made({}, pipeline_type="COPY_ONLY", mirror_source="s3://from").documents["pipeline.yml"]
    assert content["copy"]["variables"]["SPACK_BUILDCACHE_SOURCE"] == "s3://from"
    jsonschema.Draft7Validator(SCHEMA).validate(content)
    with pytest.raises(BadRequest, match="'buildcache-source'"):
        made({}, pipeline_type="COPY_ONLY")
    with pytest.raises(BadRequest, match="'copy-job'"):
        made({}, {"pipeline-gen": []}, pipeline_type="COPY_ONLY", mirror_source="s3://from")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, pipeline.RETRY),
        ({"retry": 1}, {**pipeline.RETRY, "max": 1}),
        ({"retry": {"max": 0, "when": ["always"]}}, {**pipeline.RETRY, "max": 0, "when": ["always"]}),
    ],
)
def test_only_what_a_retry_can_cure_is_tried_again_unless_the_section_says_more(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    content = extended(made(GOLDEN["two"], {"pipeline-gen": [{"build-job": given}]}).documents["pipeline.yml"])
    assert [job["retry"] for name, job in content.items() if "@" in name] == [expected] * 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"retry": 3}, "is tried again 3 times; GitLab takes 0 to 2"),
        ({"retry": "often"}, "is tried again 'often' times"),
        ({"retry": True}, "is tried again True times"),
        ({"retry": {"max": -1}}, "is tried again -1 times"),
        ({"extends": ".nowhere"}, r"extends \.nowhere, which this pipeline does not have"),
        ({"extends": [".one"]}, r"extends \.one"),
    ],
)
def test_what_gitlab_would_reject_of_a_section_is_named(given: dict[str, Any], words: str) -> None:
    found = made(GOLDEN["two"], {"pipeline-gen": [{"build-job": given}]})
    faults = limits.faults(found.documents, limits.Limits())
    assert faults
    assert all(re.search(words, fault) for fault in faults), faults


def test_a_job_without_a_script_and_two_jobs_of_one_name_are_rejected() -> None:
    with pytest.raises(BadRequest, match="without a script"):
        made(GOLDEN["two"], {"pipeline-gen": [{"build-job": {"script:": []}}]})


def test_odd_values_of_the_section_are_written_as_gitlab_takes_them() -> None:
    odd = {
        "variables": {"A": 1, "B": 1.5, "C": True, "D": {"value": "x", "expand": False}, "E": "a\nb é"},
        "script": [["x"], "{env_dir}"],
    }
    content = extended(made({"a": []}, {"pipeline-gen": [{"build-job": odd}]}).documents["pipeline.yml"])
    (job,) = (job for name, job in content.items() if "@" in name)
    assert {key: job["variables"][key] for key in "ABCDE"} == {
        "A": "1", "B": "1.5", "C": "true", "D": {"value": "x", "expand": False}, "E": "a\nb é",
    }  # fmt: skip
    assert job["script"][:2] == ["x", "jobs_scratch_dir/concrete_environment"]
    jsonschema.Draft7Validator(SCHEMA).validate(content)


def test_a_job_graph_has_its_specs_as_given_and_a_digest_without_the_time() -> None:
    one = spec("zlib", key="a")
    facts = document.Facts("stack", "c1", "c2", "2026-01-01T00:00:00Z", "s3://m")
    fates = {"a": document.Fate("build", "on no mirror")}
    jobs = {"a": document.Job("zlib /a", "", (), Row(cpu_millicores=5), ("t",), "i")}
    found = document.graph(facts, [one], fates, jobs)
    assert (found["jobs"][0]["size"]["cpu_millicores"], found["jobs"][0]["job"]) == (5, "zlib /a")
    assert document.graph(facts._replace(made_at="x"), [one], fates, jobs)["digest"] == found["digest"]
    assert document.graph(facts._replace(stack="x"), [one], fates, jobs)["digest"] != found["digest"]
    assert json.loads(document.text(found)) == found


CHAIN = {"a": (), "b": ("a",), "c": ("b",), "x": ("a",)}
SPECS: dict[str, Spec] = {key: spec(key, key=key, dependencies=needs_of) for key, needs_of in CHAIN.items()}


@pytest.mark.parametrize(
    ("packages", "depth", "expected"),
    [
        ({"a"}, None, "abcx"), ({"c"}, None, "abc"), ({"a"}, 0, "a"), ({"a"}, 1, "abx"), ({"b"}, 0, "ab"),
        ({"none"}, None, ""), ({"a"}, -1, ""),
    ],
)  # fmt: skip
def test_what_uses_a_changed_package_is_affected_with_all_that_it_needs(
    packages: set[str], depth: int | None, expected: str
) -> None:
    assert pruning.affected(SPECS, packages, depth) == set(expected)


@pytest.mark.parametrize(
    ("external", "mirror", "rules", "state"),
    [
        ("/usr", "", (True, True, False, None), "external"),
        ("/usr", "", (True, False, False, None), "build"),
        ("", "", (True, True, True, None), "copy"),
        ("", "s3://m", (True, True, False, None), "pruned"),
        ("", "s3://m", (False, True, False, None), "build"),
        ("", "", (True, True, False, set()), "pruned"),
        ("", "", (True, True, False, {"a"}), "build"),
    ],
)
def test_each_spec_has_a_fate_and_a_reason(external: str, mirror: str, rules: tuple[Any, ...], state: str) -> None:
    one = spec(key="a", external=external)
    fate = pruning.fates({"a": one}, {"a": mirror} if mirror else {}, pruning.Rules(*rules))["a"]
    assert (fate.state, bool(fate.why)) == (state, True)
