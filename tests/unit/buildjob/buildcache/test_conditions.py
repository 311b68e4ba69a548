"""Whether a storage supports conditional writes is found out by trying, and recorded."""

import pytest

from buildjob.buildcache import conditions, layout
from buildjob.errors import Unsupported
from tests.labs.memory_store import Conditions, MemoryStore


def test_a_yes_is_recorded_and_not_asked_again() -> None:
    store = MemoryStore()
    assert conditions.are_kept(store)
    assert store.keys() == {layout.CONDITIONAL}
    store.requests.clear()
    conditions.require(store)
    assert store.requests == [("stat", layout.CONDITIONAL)]


@pytest.mark.parametrize("kind", ["ignored", "rejected"])
def test_a_no_leaves_nothing_behind_and_is_an_error_where_conditions_are_needed(kind: Conditions) -> None:
    store = MemoryStore(kind)
    assert not conditions.are_kept(store)
    assert store.keys() == set()
    with pytest.raises(Unsupported, match="use spack buildcache prune"):
        conditions.require(store)


def test_a_storage_that_rejects_what_it_should_accept_does_not_support_them() -> None:
    class Stubborn(MemoryStore):
        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            return super().write(key, data, only_if="another" if only_if else only_if)

    assert not conditions.are_kept(Stubborn())
