"""Unknown keys of settings: each with its place in the file, and the key that may have been meant."""

from typing import Annotated, Any

import msgspec
import pytest

from spelling.keys import ignored_keys, unknown_keys


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    """A table in a table."""

    memory: str = ""
    cores: int = 0


class Pool(msgspec.Struct, forbid_unknown_fields=True, rename={"kind": "type"}):
    """An item of a list."""

    name: str
    kind: str = ""
    slot: Slot | None = None
    by_zone: dict[str, Slot] = {}
    options: dict[str, str] = {}


class Open(msgspec.Struct):
    """Takes unknown keys."""

    slot: Slot = msgspec.field(default_factory=Slot)


class Chain(msgspec.Struct, forbid_unknown_fields=True):
    """A table that may hold itself."""

    below: "Chain | None" = None
    last_table: int = 0


class File(msgspec.Struct, forbid_unknown_fields=True):
    """A whole file."""

    pools: tuple[Pool, ...] = ()
    scale_in: Slot = msgspec.field(default_factory=Slot)
    several: list[Pool] | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] = 1
    anything: Any = None
    chain: Chain | None = None
    room: Open | None = None


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ({}, []),
        ({"pool": []}, ["unknown key pool (did you mean pools?)"]),
        ({"pools": [{"name": "a", "typ": "m"}]}, ["unknown key pools.a.typ (did you mean pools.a.type?)"]),
        ({"pools": [{"kind": "m"}]}, ["unknown key pools[0].kind"]),
        ({"pools": [{"name": 7, "nam": ""}]}, ["unknown key pools[0].nam (did you mean pools[0].name?)"]),
        ({"several": [{"name": "b", "nme": ""}]}, ["unknown key several.b.nme (did you mean several.b.name?)"]),
        (
            {"pools": [{"name": "a", "slot": {"mem": ""}}]},
            ["unknown key pools.a.slot.mem (did you mean pools.a.slot.memory?)"],
        ),
        (
            {"pools": [{"name": "a", "by_zone": {"z": {"core": 1}}}]},
            ["unknown key pools.a.by_zone.z.core (did you mean pools.a.by_zone.z.cores?)"],
        ),
        ({"Memory": "1"}, ["unknown key Memory (did you mean scale_in.memory?)"]),
        ({"last_tables": 1}, ["unknown key last_tables (did you mean chain.last_table?)"]),
        ({"chain": {"below": {"last": 1}}}, ["unknown key chain.below.last (did you mean chain.below.last_table?)"]),
        ({"room": {"unknown": 1, "slot": {"core": 1}}}, ["unknown key room.slot.core (did you mean room.slot.cores?)"]),
        ({"pools": [{"name": "a", "options": {"any": "thing"}}]}, []),
        ({"anything": {"below": [{"it": 1}]}}, []),
        ({"pools": 3, "scale_in": [], "count": {"a": 1}}, []),
        ({"pools": ["a"], "chain": "b"}, []),
        ({"two\nlines": 1}, [r"unknown key 'two\nlines'"]),
        ({"a": 1, "count": 2, "bb": 2}, ["unknown key a", "unknown key bb"]),
    ],
)
def test_each_unknown_key_is_named_with_its_place_and_what_was_meant(document: object, faults: list[str]) -> None:
    assert unknown_keys(document, File) == faults


def test_a_table_stands_where_its_file_has_it() -> None:
    assert unknown_keys({"core": 1}, Slot, at="service.slot") == [
        "unknown key service.slot.core (did you mean service.slot.cores?)"
    ]


def test_many_unknown_keys_are_counted() -> None:
    faults = unknown_keys({f"k{number}": 1 for number in range(10_000)}, File)
    assert len(faults) == 21
    assert faults[-1] == "9980 more unknown keys"


def test_keys_that_a_document_of_others_has_beside_the_known_ones_are_named() -> None:
    document = {"room": {"slots": 1, 7: 8}, "count": {"a": 1}, "pools": [{"name": "a", "options": {"b": "c"}}]}
    assert ignored_keys(document, File) == ["room.slots (did you mean room.slot?)", "room.7"]
