"""Windows of an index: whatever their size and whatever the entries contain, together they are the index."""

import io
import json
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.buildcache.indexing.reader import windows
from buildjob.errors import PublishError
from tests.labs.build_cache import dag_hash

KEY = dag_hash("nested")
TRICKY: list[dict[str, Any]] = [
    {"spec": {"name": "plain"}},
    {"spec": {"text": '}, "' + KEY + '": {'}},
    {"spec": {"first": {}, KEY: {"second": {}}}, "ref_count": 1},
    {"spec": {"list": [{KEY: {}}, {KEY: {}}]}},
    {"spec": {"unicode": 'é{}\\\\ "}'}},
    {},
]


def index(entries: dict[str, Any], *, tail: dict[str, Any] | None = None, **layout: Any) -> bytes:
    database = {"database": {"version": "8", "installs": entries}}
    return json.dumps(database | (tail or {}), **layout).encode()


def read(text: bytes, window_bytes: int) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for window, taken in windows(io.BytesIO(text), window_bytes=window_bytes):
        assert json.loads(b"{" + taken + b"}") == {key: json.loads(bytes(raw)) for key, raw in window.items()}
        assert not rows.keys() & window.keys(), "each entry is in one window"
        rows |= {key: json.loads(bytes(raw)) for key, raw in window.items()}
    return rows


@given(
    st.lists(st.sampled_from(TRICKY), max_size=12),
    st.integers(1, 900),
    st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}]),
    st.sampled_from([{}, {"spack-farm": {"name": "n"}}]),
)
def test_windows_of_any_size_are_the_index(
    entries: list[dict[str, Any]], window_bytes: int, layout: dict[str, Any], tail: dict[str, Any]
) -> None:
    expected = {dag_hash(str(number)): entry for number, entry in enumerate(entries)}
    assert read(index(expected, tail=tail, **layout), window_bytes) == expected


def test_no_index_has_no_windows() -> None:
    assert list(windows(None)) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "not in Spack's form"),
        (b'{"database": []}', "not in Spack's form"),
        (index({}).replace(b'"8"', b'"7"'), "database version 7, Spack 1.1 writes 8"),
        (index({dag_hash("a"): {}})[:-3], "ends too early"),
        (index({dag_hash("a"): {}, dag_hash("b"): {"x": 1}}).replace(b'"x"', b'"x'), "ends too early"),
        (index({dag_hash("a"): {}}, tail={"more": 1}).replace(b'"more"', b'"more'), "ends too early"),
        (index({dag_hash("a"): {}}) + b" and more text that is not JSON" * 3000, "ends too early"),
    ],
)
def test_a_broken_index_is_one_error(text: bytes, complaint: str) -> None:
    with pytest.raises(PublishError, match=complaint):
        list(windows(io.BytesIO(text), window_bytes=300))


class Endless(io.RawIOBase):
    """The head of an index, and then spaces."""

    def __init__(self) -> None:
        self._head: bytes = b'{"database":{"version":"8","installs":{"'

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset + whence

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head.ljust(size)


def test_an_entry_without_an_end_is_not_read_to_its_end() -> None:
    endless: BinaryIO = Endless()  # type: ignore[assignment]
    with pytest.raises(PublishError, match="more than 64 MiB"):
        list(windows(endless, window_bytes=40 << 20))
