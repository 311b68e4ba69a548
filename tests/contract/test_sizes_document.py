"""Clause: architecture.md §4, §5: `sizes.json` has schema and sample; the most exact key wins; unknown keys are ignored."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from executor.errors import SettingsError
from executor.size_table import SizeTable, find_measured, read_table

_ROOT = Path(__file__).resolve().parents[2]
_SAMPLE = (_ROOT / "tests/data/sizes/sample.json").read_bytes()
_JOB = {
    "SPACK_JOB_SPEC_PKG_NAME": "llvm",
    "SPACK_JOB_SPEC_PKG_VERSION": "18.1.8",
    "SPACK_JOB_SPEC_COMPILER_NAME": "gcc",
    "SPACK_JOB_SPEC_COMPILER_VERSION": "13.2.0",
    "SPACK_JOB_SPEC_DAG_HASH": "abcdefghijklmnopqrstuvwxyz234567",
}


def test_the_sample_obeys_the_published_schema() -> None:
    schema = json.loads((_ROOT / "docs/reference/sizes.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(_SAMPLE), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("without", "source"),
    [
        (0, "the last build"),
        (1, "largest of 2 builds"),
        (3, "largest of 6 builds"),
    ],
)
def test_the_most_exact_key_wins(without: int, source: str) -> None:
    table = msgspec.json.decode(_SAMPLE, type=SizeTable)
    known = dict(list(_JOB.items())[: len(_JOB) - without])
    found = find_measured(table, known)
    assert found is not None
    assert found.source == source


def test_a_package_without_an_entry_has_no_measured_size() -> None:
    table = msgspec.json.decode(_SAMPLE, type=SizeTable)
    assert find_measured(table, {"SPACK_JOB_SPEC_PKG_NAME": "hdf5"}) is None
    assert find_measured(table, {}) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"{", "cannot be read"),
        (b'{"version": 1, "sizes": {"zlib": {"memory_bytes": "2G"}}}', "Expected `int | null`"),
        (b'{"version": 2, "sizes": {}}', "has version 2, this driver reads 1"),
        pytest.param(b" " * (64 << 20) + b"{}", "is larger than 64 MiB", id="too large"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "sizes.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=words.replace("|", r"\|")) as raised:
        read_table(path)
    assert str(path) in str(raised.value)
