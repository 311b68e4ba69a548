"""What a binary needs at run time, and which binaries a build cache has."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import dependencies, index, layout, push, verify
from buildjob.buildcache.specs import SpecNode, parse_spec
from buildjob.buildcache.storage.store import ObjectInfo
from buildjob.buildcache.verify import Findings, VerifyOptions
from buildjob.errors import PublishError
from tests.labs.build_cache import add_entry, as_it_is, dag_hash
from tests.labs.memory_store import MemoryStore


def nodes(*described: dict[str, Any]) -> dict[str, SpecNode]:
    """The nodes of a spec, the first being the root; `{"name": …, "needs": {name: types}}` and further fields of Spack's."""
    made = []
    for each in described:
        needs: dict[str, list[str]] = each.pop("needs", {})
        edges = [{"name": n, "hash": dag_hash(n), "parameters": {"deptypes": types}} for n, types in needs.items()]
        made.append({"version": "1.0", "hash": dag_hash(each["name"]), "dependencies": edges} | each)
    return parse_spec(json.dumps({"spec": {"_meta": {"version": 5}, "nodes": made}}).encode(), where="test")


LINK, RUN, BUILD = ["link"], ["run"], ["build", "test"]
EXTERNAL: dict[str, Any] = {"path": "/usr", "module": None, "extra_attributes": {}}
# fmt: off
CLOSURES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "link and run, all the way down": (
        [{"name": "app", "needs": {"lib": LINK}}, {"name": "lib", "needs": {"data": RUN}}, {"name": "data"}],
        ["data", "lib"],
    ),
    "not what is needed to build": (
        [{"name": "app", "needs": {"cmake": BUILD}}, {"name": "cmake", "needs": {"z": LINK}}, {"name": "z"}], [],
    ),
    "not externals, nor what they need": (
        [{"name": "app", "needs": {"mpi": LINK}}, {"name": "mpi", "external": EXTERNAL, "needs": {"z": RUN}}, {"name": "z"}],
        [],
    ),
    "what says null instead of external": (
        [{"name": "app", "needs": {"lib": LINK}}, {"name": "lib", "external": None}], ["lib"],
    ),
    "what a spliced spec was built as": (
        [{"name": "app", "needs": {"mpi": LINK}},
         {"name": "mpi", "build_spec": {"name": "other-mpi", "hash": dag_hash("other-mpi")}}, {"name": "other-mpi"}],
        ["other-mpi"],
    ),
    "the binary that a spliced root was built as is its own business": ([{"name": "app"}], []),
    "several ways lead to one": (
        [{"name": "app", "needs": {"a": LINK, "b": RUN}}, {"name": "a", "needs": {"z": LINK}},
         {"name": "b", "needs": {"z": ["build", "link", "run"]}}, {"name": "z"}],
        ["a", "b", "z"],
    ),
    "an edge without types is none": ([{"name": "app", "needs": {"z": []}}, {"name": "z"}], []),
}
# fmt: on


@pytest.mark.parametrize("case", CLOSURES)
def test_what_a_binary_needs_at_run_time(case: str) -> None:
    described, expected = CLOSURES[case]
    found = dependencies.run_time_closure(dag_hash("app"), nodes(*described))
    assert sorted(needed.title.partition("@")[0] for needed in found.values()) == expected
    for hash_, needed in found.items():
        assert layout.hash_of(needed.manifest_key) == hash_
        assert needed.title.endswith(hash_[:7])


def test_a_broken_node_is_an_error_that_names_it() -> None:
    with pytest.raises(PublishError, match=f"node {dag_hash('app')} is not in Spack's form"):
        dependencies.direct(dag_hash("app"), {dag_hash("app"): SpecNode(text=b'{"name": 7}', dependencies=())})


class Counting(MemoryStore):
    """A build cache that counts requests for single objects, and listings."""

    stats = 0
    listed = 0

    def stat(self, key: str) -> ObjectInfo | None:
        self.stats += 1
        return super().stat(key)

    def list(self, prefix: str, *, unlisted: list[str] | None = None) -> Iterator[ObjectInfo]:
        for info in super().list(prefix, unlisted=unlisted):
            self.listed += 1
            yield info


def filled(folder: Path, names: Iterable[str], **entry: Any) -> tuple[Counting, list[str]]:
    """A build cache with these binaries, and their manifest keys."""
    store = Counting()
    keys = [add_entry(folder, name, **entry) for name in names]
    push.publish(folder, store, sign=as_it_is, options=push.PushOptions(workers=1, indexing=index.IndexOptions(workers=1)))
    store.stats = store.listed = 0
    return store, keys


def test_few_binaries_are_asked_for_and_many_are_listed(tmp_path: Path) -> None:
    store, keys = filled(tmp_path, (f"p{number}" for number in range(40)))
    absent = f"{layout.SPECS}x/x-1.0-{'a' * 32}{layout.MANIFEST_END}"
    assert dependencies.present(store, [keys[0], absent], workers=1) == {keys[0]}
    assert (store.stats, store.listed) == (2, 0)
    assert dependencies.present(store, [*keys, absent], workers=1) == set(keys)
    assert (store.stats, store.listed) == (2, 40)


def test_in_a_large_build_cache_the_index_saves_requests_where_it_is_believed(tmp_path: Path) -> None:
    store, keys = filled(tmp_path, (f"p{number:03}" for number in range(330)))
    wanted = keys[-32:]  # of which a listing that ends early sees none
    assert dependencies.present(store, wanted, workers=1, believe_index=True) == set(wanted)
    assert store.stats <= 1
    store.delete(wanted[0])
    assert dependencies.present(store, wanted, workers=1) == set(wanted[1:])
    store.delete(layout.INDEX)
    assert dependencies.present(store, wanted, workers=1, believe_index=True) == set(wanted[1:])


def faults(store: MemoryStore, **options: Any) -> tuple[list[str], Findings]:
    findings = Findings()
    found = list(verify.verify(store, None, findings, VerifyOptions(workers=1, **options)))
    return [f"{fault.key.rpartition('/')[2].partition('-')[0]}: {fault.text}" for fault in found], findings


def test_a_binary_whose_dependency_is_missing_is_a_fault_and_not_good(tmp_path: Path) -> None:
    store, (key,) = filled(tmp_path, ["app"], dependencies=["lib", "z"], types=["link"])
    expected = (
        f"lib@1.0/{dag_hash('lib')[:7]}, z@1.0/{dag_hash('z')[:7]}, which it needs at run time, are not in the build cache"
    )
    for options in ({}, {"manifest_keys": [key]}):
        found, findings = faults(store, **options)
        assert found == [f"app: {expected}"]
        assert findings.good_keys == []
        found, findings = faults(store, allow_missing=True, **options)
        assert (found, findings.good_keys) == ([], [key])


def test_with_its_dependencies_it_is_good(tmp_path: Path) -> None:
    store, (key,) = filled(tmp_path / "1", ["app"], dependencies=["lib"], types=["run"])
    push.publish(_tree(tmp_path / "2", "lib"), store, sign=as_it_is, options=push.PushOptions(workers=1))
    assert faults(store)[0] == []
    assert faults(store, manifest_keys=[key])[1].good_keys == [key]


def _tree(folder: Path, name: str) -> Path:
    add_entry(folder, name)
    return folder


def test_what_must_not_be_redistributed_is_no_fault_where_its_push_has_noted_that(tmp_path: Path) -> None:
    store, (key,) = filled(tmp_path, ["app"], dependencies=["lib", "z"], types=["link"], mark=[dag_hash("lib")])
    found, findings = faults(store)
    assert found == [f"app: z@1.0/{dag_hash('z')[:7]}, which it needs at run time, is not in the build cache"]
    assert findings.not_redistributable == {dag_hash("lib")}
    assert faults(store, manifest_keys=[key])[0] == found


def test_a_line_names_few_of_many_and_few_lines_name_many(tmp_path: Path) -> None:
    store, keys = filled(
        tmp_path, (f"p{number}" for number in range(103)), dependencies=[f"d{each}" for each in range(50)], types=["link"]
    )
    found, findings = faults(store)
    assert len(found) == 101
    assert found[0].endswith("and 45 more, which it needs at run time, are not in the build cache")
    assert found[-1].endswith("3 more binaries need at run time what is not in the build cache")
    assert findings.good_keys == []
    assert len(keys) == 103


def test_what_must_not_be_redistributed_and_is_there_is_not_counted(tmp_path: Path) -> None:
    store, _ = filled(tmp_path, ["app"], mark=[dag_hash("app")])
    found, findings = faults(store)
    assert (found, findings.not_redistributable) == ([], set())


def test_what_is_no_manifest_or_not_signed_is_left_out() -> None:
    store = MemoryStore()
    manifest = json.dumps({"version": 3, "data": []}).encode()
    signed = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n%s\n-----BEGIN PGP SIGNATURE-----\n\nx\n"
    signed += b"-----END PGP SIGNATURE-----\n"
    for key, text in {"plain": manifest, "signed": signed % manifest, "garbled": b"}{", "empty": b""}.items():
        store.write(key, text)
    keys = ["plain", "signed", "garbled", "empty", "absent"]
    assert dependencies.readable_among(store, keys, workers=2, signed=False) == {"plain", "signed"}
    assert dependencies.readable_among(store, keys, workers=2, signed=True) == {"signed"}
