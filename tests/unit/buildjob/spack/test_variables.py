"""Which variables Spack leaves to a build."""

import pytest

from buildjob.spack.variables import reaches_builds


@pytest.mark.parametrize("name", ["PATH", "MAKEFLAGS", "TZ", "SPACK_ROOT"])
def test_reaches_a_build(name: str) -> None:
    assert reaches_builds(name)


@pytest.mark.parametrize("name", ["CC", "CFLAGS", "LD_LIBRARY_PATH", "PYTHONPATH", "HDF5_ROOT", "CONFIG_SITE"])
def test_does_not_reach_a_build(name: str) -> None:
    assert not reaches_builds(name)
