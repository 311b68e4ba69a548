"""The faults that verify finds, without signatures: each is one value with its key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import documents, index, layout, push, push_record, verify
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.push_record import AnnouncedBinary
from buildjob.buildcache.verify import Findings, VerifyOptions
from buildjob.errors import Denied, StoreError, Unavailable
from status_line.progress import silent
from tests.labs.build_cache import add_entry, as_it_is, dag_hash
from tests.labs.memory_store import MemoryStore


class Farm:
    def __init__(self, folder: Path, *, update_index: bool = True) -> None:
        self.store = MemoryStore()
        self.keys = {name: add_entry(folder, name) for name in ("a", "b")}
        options = push.PushOptions(workers=1, update_index=update_index, indexing=index.IndexOptions(workers=1))
        push.publish(folder, self.store, sign=as_it_is, options=options)

    def faults(self, **options: Any) -> list[tuple[str, str]]:
        self.findings = Findings()
        found = verify.verify(self.store, None, self.findings, VerifyOptions(workers=1, **options))
        return [(fault.key, fault.text) for fault in found]

    def blob(self, name: str, number: int) -> str:
        return layout.blob(json.loads(self.store.objects[self.keys[name]])["data"][number]["checksum"])

    def edit_index(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Change the index's entries; its manifest's checksum and size with it."""
        manifest = json.loads(self.store.objects[layout.INDEX])
        text = json.loads(self.store.objects[layout.blob(manifest["data"][0]["checksum"])])
        edit(text["database"]["installs"])
        data = json.dumps(text).encode()
        sha256 = self.store.write("scratch", data)
        self.store.delete("scratch")
        self.store.write(layout.blob(sha256), data)
        manifest["data"][0] |= {"checksum": sha256, "contentLength": len(data)}
        self.store.write(layout.INDEX, json.dumps(manifest).encode())


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def test_an_intact_build_cache_has_no_faults_and_everything_is_counted(farm: Farm) -> None:
    assert farm.faults() == []
    assert farm.findings == Findings(binaries=2, good_keys=sorted(farm.keys.values()), indexed=2, unindexed=0)


@pytest.mark.parametrize("reads", ["bytes", "sizes"])
def test_a_verification_counts_the_bytes_that_it_reads(farm: Farm, reads: str) -> None:
    progress = silent()
    assert farm.faults(read_blobs=reads == "bytes", progress=progress) == []
    size = sum(len(farm.store.objects[farm.blob(name, number)]) for name in farm.keys for number in (0, 1))
    assert (progress.done, progress.bytes) == (2, size if reads == "bytes" else 0)


def test_a_binarys_own_faults(farm: Farm) -> None:
    key = farm.keys["a"]
    tarball, spec = farm.blob("a", 0), farm.blob("a", 1)
    content = farm.store.objects[tarball]
    farm.store.objects[tarball] = b"x" * len(content)
    assert farm.faults() == [(key, f"{tarball} does not have the checksum in its name")]
    assert farm.faults(read_blobs=False) == [], "only the size is compared"
    farm.store.objects[tarball] = content[:-1]
    assert farm.faults(read_blobs=False) == [(key, f"{tarball} has {len(content) - 1} bytes, not {len(content)}")]
    del farm.store.objects[tarball]
    for read_blobs in (True, False):
        assert farm.faults(read_blobs=read_blobs) == [(key, f"{tarball} is missing")]
    farm.store.objects[tarball] = content
    del farm.store.objects[spec]
    ((_, text),) = farm.faults()
    assert text.startswith("an object is missing: ")
    farm.store.objects[key] = b"{}"
    ((_, text),) = farm.faults()
    assert "not a spec manifest" in text


def test_a_manifest_under_another_binarys_key(farm: Farm) -> None:
    farm.store.objects[farm.keys["a"]] = farm.store.objects[farm.keys["b"]]
    assert farm.faults() == [(farm.keys["a"], f"its spec is another one than its key names: {dag_hash('b')}")]


def test_only_the_named_binaries_are_checked_and_not_the_index(farm: Farm) -> None:
    farm.store.delete(layout.INDEX)
    farm.store.delete(farm.keys["b"])
    assert farm.faults(manifest_keys=[farm.keys["a"]]) == []
    ((key, text),) = farm.faults(manifest_keys=[farm.keys["b"]])
    assert (key, text.partition(":")[0]) == (farm.keys["b"], "an object is missing")


def test_the_faults_of_an_index(farm: Farm) -> None:
    def edit(installs: dict[str, Any]) -> None:
        del installs[dag_hash("a")]
        del installs[dag_hash("glibc")]
        installs[dag_hash("b")]["ref_count"] = 3
        installs[dag_hash("c")] = {"spec": {"hash": dag_hash("c")}, "ref_count": 0, "in_buildcache": True}

    farm.edit_index(edit)
    assert farm.faults() == [
        (layout.INDEX, f"names {dag_hash('c')}, which is not in the build cache"),
        (layout.INDEX, f"lacks {dag_hash('a')}; publish index --rebuild finds it"),
        (layout.INDEX, f"lacks {dag_hash('glibc')}, on which others depend"),
        (layout.INDEX, f"counts 3 dependents of {dag_hash('b')}, not 0"),
    ]


def test_what_is_announced_need_not_be_indexed_yet(tmp_path: Path) -> None:
    farm = Farm(tmp_path, update_index=False)
    assert farm.faults() == [], "there need not even be an index"
    for key in farm.store.keys(layout.PENDING):
        farm.store.delete(key)
    assert [key for key, _ in farm.faults()] == [layout.INDEX]


def test_one_that_is_announced_and_missing_in_the_index_is_counted(farm: Farm) -> None:
    farm.edit_index(lambda installs: installs.pop(dag_hash("a")) and installs[dag_hash("glibc")].update(ref_count=1))
    assert [text for _, text in farm.faults()] == [f"lacks {dag_hash('a')}; publish index --rebuild finds it"]
    binary = AnnouncedBinary(manifest_key=farm.keys["a"], dag_hash=dag_hash("a"), blobs=[])
    push_record.announce(farm.store, [binary], documents.read_spec(farm.store, farm.keys["a"]), at_once=1)
    assert farm.faults() == []
    assert farm.findings.unindexed == 1


def test_a_check_returns_what_the_notary_needs(farm: Farm) -> None:
    found = verify.check(farm.store, farm.keys["a"], None, read_blobs=True)
    assert not isinstance(found, Fault)
    assert (found.manifest_key, found.dag_hash) == (farm.keys["a"], dag_hash("a"))
    assert found.text == farm.store.objects[farm.keys["a"]]
    assert found.nodes.keys() == {dag_hash("a"), dag_hash("glibc")}


def test_the_layout_is_checked_with_the_whole_and_not_with_some(farm: Farm) -> None:
    farm.store.delete(layout.LAYOUT)
    ((key, text),) = farm.faults()
    assert (key, text.partition(":")[0]) == (layout.LAYOUT, "is missing")
    assert farm.faults(manifest_keys=[farm.keys["a"]]) == []


def test_blobs_that_nothing_names_are_counted(farm: Farm) -> None:
    later: dict[str, Any] = {"wall": lambda: farm.store.now + 1}
    assert farm.faults(**later) == []
    assert farm.findings.unreferenced == 0, "the index, the keys and the old index are named"
    farm.store.write(layout.blob("0" * 64), b"12345")
    farm.store.write(layout.blob("1" * 64), b"")
    farm.store.write(layout.BLOBS + "notes.txt", b"")
    assert farm.faults(**later) == []
    assert (farm.findings.unreferenced, farm.findings.unreferenced_bytes) == (2, 5)
    binary = AnnouncedBinary(manifest_key=farm.keys["a"], dag_hash=dag_hash("a"), blobs=["0" * 64])
    push_record.announce(farm.store, [binary], documents.read_spec(farm.store, farm.keys["a"]), at_once=1)
    assert farm.faults(**later) == []
    assert farm.findings.unreferenced == 1, "a push under way is about to name the other one"
    assert farm.faults(wall=lambda: farm.store.now) == []
    assert farm.findings.unreferenced == 0, "they are younger than the verification"


def test_junk_is_a_fault_and_so_is_what_cannot_be_listed(farm: Farm) -> None:
    farm.store.write(layout.SPECS + "junk.spec.manifest.json", b"")
    farm.store.unlisted.append(layout.SPECS + "zlib/")
    assert [key for key, _ in farm.faults()] == [layout.SPECS + "junk.spec.manifest.json", layout.SPECS + "zlib"]


@pytest.mark.parametrize("failure", [Denied("AccessDenied"), Unavailable("no answer")])
def test_who_asks_for_some_learns_that_they_could_not_be_read(farm: Farm, failure: StoreError) -> None:
    farm.store.failure = failure
    with pytest.raises(type(failure)):
        farm.faults(manifest_keys=[farm.keys["a"]])
