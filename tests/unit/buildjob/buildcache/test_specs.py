"""Concrete specs: nodes as Spack wrote them, and the graph between them."""

import json
from typing import Any

import msgspec
import pytest

from buildjob.buildcache import specs
from buildjob.errors import PublishError
from tests.labs.build_cache import dag_hash, node, nodes_of


def spec_file(nodes: list[dict[str, Any]], *, version: int = 5) -> bytes:
    return json.dumps({"spec": {"_meta": {"version": version}, "nodes": nodes}}).encode()


def test_the_nodes_keep_their_text_and_the_root_comes_first() -> None:
    nodes = nodes_of("app", ["lib"])
    parsed = specs.parse_spec(spec_file(nodes), where="here")
    assert list(parsed) == [each["hash"] for each in nodes]
    for each in nodes:
        assert json.loads(parsed[each["hash"]].text) == each
    assert set(parsed[dag_hash("app")].dependencies) == {dag_hash("lib"), dag_hash("glibc")}


def test_a_dependency_that_is_named_twice_is_one() -> None:
    twice = node("app", ["lib"])
    twice["dependencies"] *= 2
    assert specs.parse_node(json.dumps(twice).encode()).dependencies == (dag_hash("lib"),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{}", "not a concrete spec"),
        (b"no json", "not a concrete spec"),
        (spec_file([]), "has no nodes"),
        (spec_file(nodes_of("app"), version=4), "spec format 4, but Spack 1.1 writes 5"),
        (spec_file(nodes_of("app", ["lib"])[:1]), f"node '{dag_hash('app')}' is incomplete"),
        (spec_file([node("app", []) | {"hash": "TOO-SHORT"}]), "node 'TOO-SHORT' is incomplete"),
    ],
)
def test_any_other_text_is_one_error_with_its_place(text: bytes, complaint: str) -> None:
    with pytest.raises(PublishError, match=f"^here: .*{complaint}"):
        specs.parse_spec(text, where="here")


def test_a_single_node_that_is_none_is_msgspecs_error() -> None:
    with pytest.raises(msgspec.MsgspecError):
        specs.parse_node(b'{"name": "zlib"}')


@pytest.mark.parametrize(
    ("path", "is_named"),
    [
        ("app/app-1.0-{hash}.spec.manifest.json", True),
        ("app/app-other_version-{hash}.spec.manifest.json", False),
        ("lib/lib-1.0-{hash}.spec.manifest.json", False),
        ("app/app-1.0-other.spec.manifest.json", False),
        ("app/app-1.0/x-{hash}.spec.manifest.json", False),
        ("app/app-1.0-{hash}", False),
    ],
)
def test_a_manifest_belongs_to_the_node_that_its_path_names(path: str, *, is_named: bool) -> None:
    text = json.dumps(node("app", [])).encode()
    assert specs.is_named(path.format(hash=dag_hash("app")), dag_hash("app"), specs.parse_node(text)) == is_named


def test_a_version_that_no_path_can_hold_is_named_as_spack_does() -> None:
    text = json.dumps(node("app", []) | {"version": "git.feature/foo=1.0"}).encode()
    path = f"app/app-git.feature_foo_1.0-{dag_hash('app')}.spec.manifest.json"
    assert specs.is_named(path, dag_hash("app"), specs.parse_node(text))


def test_a_node_without_a_name_is_named_by_no_path() -> None:
    text = json.dumps({"hash": dag_hash("app")}).encode()
    assert not specs.is_named("app/app-1.0.spec.manifest.json", dag_hash("app"), specs.parse_node(text))


@pytest.mark.parametrize(
    ("parameters", "is_developed"),
    [
        ({"dev_path": "/home/me/app", "build_system": "cmake"}, True),
        ({"build_system": "cmake"}, False),
        ({"cflags": ['-DX="dev_path"']}, False),
        ({}, False),
    ],
)
def test_what_is_built_from_a_developers_folder_is_recognized(parameters: dict[str, object], *, is_developed: bool) -> None:
    developed = specs.parse_node(json.dumps(node("lib", []) | {"parameters": parameters}).encode())
    other = specs.parse_node(json.dumps(node("app", ["lib"])).encode())
    assert specs.is_developed([other, developed]) == is_developed


def test_what_roots_reach_is_found_once_and_a_gap_is_an_error() -> None:
    nodes = specs.parse_spec(spec_file(nodes_of("app", ["lib", "gmake"])), where="here")
    assert specs.reachable([dag_hash("lib")], nodes).keys() == {dag_hash("lib"), dag_hash("glibc")}
    assert specs.reachable([dag_hash("app"), dag_hash("lib")], nodes).keys() == nodes.keys()
    assert specs.reachable([], nodes) == {}
    with pytest.raises(PublishError, match="is missing in a push record"):
        specs.reachable([dag_hash("other")], nodes)
