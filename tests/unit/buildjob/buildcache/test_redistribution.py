"""What must not be redistributed stays where it may be, and says so where it is."""

import json
from pathlib import Path

import pytest

from buildjob.buildcache import index, push
from buildjob.buildcache.manifest import NOT_REDISTRIBUTABLE, parse_manifest, with_mark
from buildjob.buildcache.push import Redistribution
from tests.labs.build_cache import add_entry, as_it_is, dag_hash
from tests.labs.memory_store import MemoryStore

SEALED = dag_hash("sealed")
OPTIONS = push.PushOptions(workers=1, indexing=index.IndexOptions(workers=1))


def pushed(folder: Path, redistribution: Redistribution) -> tuple[dict[str, list[str] | None], list[str]]:
    """Push the folder; return by name what the manifests in the build cache say, and the names of what was left out."""
    store = MemoryStore()
    planned = push.plan(folder, store, replace=False, redistribution=redistribution)
    push.push(planned, store, sign=as_it_is, options=OPTIONS)
    keys = [binary.manifest_key for binary in planned.binaries]
    said = {key.split("/")[3]: parse_manifest(store.objects[key], where=key).not_redistributable for key in keys}
    return said, [key.split("/")[3] for key in planned.must_stay]


# case -> what the manifest of `sealed` says, what is known beside it, what is pushed and says what, what is left out
# fmt: off
CASES: dict[str, tuple[list[str] | None, Redistribution, dict[str, list[str] | None], list[str]]] = {
    "nobody says anything": (None, Redistribution(), {"free": None, "sealed": None}, []),
    "its manifest says so": ([SEALED], Redistribution(), {"free": None}, ["sealed"]),
    "its manifest says that it may": ([], Redistribution(), {"free": None, "sealed": []}, []),
    "its manifest speaks of another one": ([dag_hash("x")], Redistribution(), {"free": None, "sealed": [dag_hash("x")]}, []),
    "its recipe says so": (None, Redistribution(forbidden=frozenset([SEALED])), {"free": None}, ["sealed"]),
    "no Spack was asked": (None, Redistribution(is_known=False), {"free": None, "sealed": None}, []),
    "private: its manifest says so": ([SEALED], Redistribution(private=True), {"free": None, "sealed": [SEALED]}, []),
    "private: its recipe says so": (
        None, Redistribution(private=True, forbidden=frozenset([SEALED])), {"free": None, "sealed": [SEALED]}, [],
    ),
    "private, and no Spack was asked: all is in doubt": (
        None, Redistribution(private=True, is_known=False), {"free": [dag_hash("free")], "sealed": [SEALED]}, [],
    ),
    "private, and in doubt is only what says nothing": (
        [], Redistribution(private=True, is_known=False), {"free": [dag_hash("free")], "sealed": []}, [],
    ),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_what_a_push_leaves_out_and_marks(tmp_path: Path, case: str) -> None:
    mark, redistribution, expected, left_out = CASES[case]
    add_entry(tmp_path, "free")
    add_entry(tmp_path, "sealed", mark=mark)
    assert pushed(tmp_path, redistribution) == (expected, left_out)


# case -> how `app` depends on `sealed`, what is known, what the manifest of `app` says
NEEDS = {
    "a public build cache lacks it": ("link", Redistribution(forbidden=frozenset([SEALED])), [SEALED]),
    "at run time": ("run", Redistribution(forbidden=frozenset([SEALED])), [SEALED]),
    "a private one has it": ("link", Redistribution(private=True, forbidden=frozenset([SEALED])), [SEALED]),
    "for the build only": ("build", Redistribution(forbidden=frozenset([SEALED])), None),
    "nothing is known": ("link", Redistribution(), None),
}


@pytest.mark.parametrize("is_there", [True, False], ids=["it was written", "stock Spack has left it out"])
@pytest.mark.parametrize("case", NEEDS)
def test_what_needs_it_says_so(tmp_path: Path, case: str, is_there: bool) -> None:  # noqa: FBT001  a parameter of the test
    kind, redistribution, expected = NEEDS[case]
    add_entry(tmp_path, "app", ["sealed"], types=[kind])
    if is_there:
        add_entry(tmp_path, "sealed")
    assert pushed(tmp_path, redistribution)[0]["app"] == expected


def test_what_the_manifest_of_another_binary_says_counts(tmp_path: Path) -> None:
    add_entry(tmp_path, "app", ["sealed"], types=["link"])
    add_entry(tmp_path, "sealed", mark=[SEALED])
    assert pushed(tmp_path, Redistribution()) == ({"app": [SEALED]}, ["sealed"])


@pytest.mark.parametrize("developed", ["app", "lib"], ids=["itself", "a dependency"])
def test_what_is_built_from_a_developers_folder_is_pushed_to_private_build_caches_only(
    tmp_path: Path, developed: str
) -> None:
    add_entry(tmp_path, "free")
    add_entry(tmp_path, "app", ["lib"], developed=developed)
    assert pushed(tmp_path, Redistribution()) == ({"free": None}, ["app"])
    assert pushed(tmp_path, Redistribution(private=True)) == ({"free": None, "app": [dag_hash("app")]}, [])


def test_if_everything_is_left_out_nothing_is_written_but_an_index(tmp_path: Path) -> None:
    add_entry(tmp_path, "sealed", mark=[SEALED])
    assert pushed(tmp_path, Redistribution()) == ({}, ["sealed"])


def test_a_marked_manifest_has_short_lines_and_keeps_all_else() -> None:
    many = [dag_hash(str(number)) for number in range(1_000)]
    text = with_mark(b'{"version": 3, "data": [], "theirs": 1}', many)
    assert json.loads(text) == {"version": 3, "data": [], "theirs": 1, NOT_REDISTRIBUTABLE: many}
    assert max(map(len, text.splitlines())) < 60
