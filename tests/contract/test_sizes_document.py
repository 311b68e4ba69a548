"""Clause: architecture.md §4, §5: `sizes.json` has schema and samples; the most exact key wins; unknown keys are ignored."""

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from executor.errors import SettingsError
from executor.size_keys import size_keys
from executor.size_table import find_measured, read_table

_ROOT = Path(__file__).resolve().parents[2]
_DATA = _ROOT / "tests/data/sizes"
_KEYS: list[dict[str, Any]] = json.loads((_DATA / "keys.json").read_text())
_LLVM = {
    "SPACK_JOB_SPEC_PKG_NAME": "llvm",
    "SPACK_JOB_SPEC_PKG_VERSION": "18.1.8",
    "SPACK_JOB_SPEC_COMPILER_NAME": "gcc",
    "SPACK_JOB_SPEC_COMPILER_VERSION": "13.2.0",
    "SPACK_JOB_SPEC_DAG_HASH": "abcdefghijklmnopqrstuvwxyz234567",
}
_HDF5 = {
    "SPACK_JOB_SPEC_PKG_NAME": "hdf5",
    "SPACK_JOB_SPEC_PKG_VERSION": "1.14.5",
    "SPACK_JOB_SPEC_VARIANTS": "+mpi build_system=python",
    "SPACK_JOB_SPEC_COMPILER_NAME": "gcc",
    "SPACK_JOB_SPEC_COMPILER_VERSION": "13.2.0",
    "SPACK_JOB_SPEC_ARCH": "linux-debian12-zen3",
    "SPACK_BUILD_JOBS": "8",
    "SPACK_JOB_SPEC_DAG_HASH": "abcdefghijklmnopqrstuvwxyz234567",
}


@pytest.mark.parametrize("name", ["sample.json", "version-1.json"])
def test_the_samples_obey_the_published_schema(name: str) -> None:
    schema = json.loads((_ROOT / "docs/reference/sizes.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((_DATA / name).read_text()), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("case", _KEYS, ids=[case["is"] for case in _KEYS])
def test_the_driver_derives_the_keys_that_are_defined(case: dict[str, Any]) -> None:
    assert size_keys(case["variables"]) == case["keys"]


@pytest.mark.parametrize(
    ("name", "job", "without", "source"),
    [
        ("version-1.json", _LLVM, 0, "the last build"),
        ("version-1.json", _LLVM, 1, "largest of 2 builds"),
        ("version-1.json", _LLVM, 3, "largest of 6 builds"),
        ("sample.json", _HDF5, 0, "1 build of /abcdefghijklmnopqrstuvwxyz234567, largest 7.1 GiB"),
        ("sample.json", _HDF5, 1, "5 builds of hdf5@1.14.5+mpi%gcc@13.2.0 target=x86_64 jobs=8, largest 14.4 GiB"),
        ("sample.json", _HDF5, 2, "23 builds of hdf5@1.14.5, largest 10.1 GiB"),
        (
            "sample.json",
            _HDF5 | {"SPACK_JOB_SPEC_PKG_NAME": "py-six"},
            1,
            "812 builds of build_system=python, largest 251 MiB",
        ),
        ("sample.json", _HDF5 | {"SPACK_JOB_SPEC_PKG_NAME": "zlib"}, 6, "the operator's table"),
    ],
)
def test_the_most_exact_key_wins(name: str, job: dict[str, str], without: int, source: str) -> None:
    known = dict(list(job.items())[: len(job) - without])
    found = find_measured(read_table(_DATA / name), known)
    assert found is not None
    assert found.source == source


def test_a_package_without_an_entry_has_no_measured_size() -> None:
    table = read_table(_DATA / "version-1.json")
    assert find_measured(table, {"SPACK_JOB_SPEC_PKG_NAME": "hdf5"}) is None
    assert find_measured(table, {}) is None


def test_a_job_that_builds_no_package_has_no_measured_size() -> None:
    assert find_measured(read_table(_DATA / "sample.json"), {"CI_JOB_NAME": "generate"}) is None


def test_a_compressed_table_is_the_same_table(tmp_path: Path) -> None:
    packed = tmp_path / "sizes.json"
    packed.write_bytes(gzip.compress((_DATA / "sample.json").read_bytes()))
    assert read_table(packed) == read_table(_DATA / "sample.json")


_PACKED = gzip.compress(b'{"version": 2, "sizes": {}}')


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"sizes": {}}', "missing required field `version`"),
        (b'{"version": 2, "sizes": []}', "Expected `object`, got `array`"),
        (b'{"version": 3, "sizes": {}}', "has version 3, this driver reads 1 and 2"),
        (_PACKED[:-9], "the compressed file ends too early"),
        (_PACKED[:12] + b"\xff" + _PACKED[13:], "cannot be read"),
        (b"\x1f\x8b", "the compressed file ends too early"),
        pytest.param(b" " * (64 << 20) + b"{}", "is larger than 64 MiB", id="too large"),
        pytest.param(gzip.compress(b" " * (65 << 20), 1), "is larger than 64 MiB", id="too large when unpacked"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "sizes.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=words) as raised:
        read_table(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "entry", ['{"memory_bytes": "2G"}', '{"memory_bytes": 0}', '{"build_jobs": 5000}', "7", '{"memory_bytes": 1e30}']
)
def test_a_broken_entry_is_named_and_spoils_no_other(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "sizes.json"
    path.write_text('{"version": 2, "sizes": {"zlib": %s, "hdf5": {"memory_bytes": 1}}}' % entry)  # noqa: UP031 (braces)
    table = read_table(path)
    with pytest.raises(SettingsError, match="the entry 'zlib' of the size table cannot be read"):
        find_measured(table, {"SPACK_JOB_SPEC_PKG_NAME": "zlib"})
    assert find_measured(table, {"SPACK_JOB_SPEC_PKG_NAME": "hdf5"}) is not None
