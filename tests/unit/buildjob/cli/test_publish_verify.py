"""What mends a build cache, by the objects that have a fault."""

import pytest

from buildjob.buildcache import layout
from buildjob.cli.publish_verify import mending

ZLIB = layout.manifest_key("zlib", "1.3", "abcdefg" + "x" * 25)
HDF5 = layout.manifest_key("hdf5", "1.14.3", "bcdefgh" + "x" * 25)
BUILD = "--mirror s3://b/m --signing-key-file KEY"
INDEX = "spack-farm publish index s3://b/m --rebuild"


@pytest.mark.parametrize(
    ("keys", "commands"),
    [
        ([], []),
        ([ZLIB], [f"spack-farm build zlib/abcdefg {BUILD}"]),
        ([HDF5, ZLIB, HDF5], [f"spack-farm build hdf5/bcdefgh zlib/abcdefg {BUILD}"]),
        ([layout.INDEX], [INDEX]),
        ([layout.LAYOUT, layout.INDEX], [INDEX]),
        ([layout.INDEX, ZLIB], [f"spack-farm build zlib/abcdefg {BUILD}", INDEX]),
        (["v3/manifests/spec/zlib/junk", "blobs/sha256/ab/abc", f"{layout.SPECS}a/b-c{layout.MANIFEST_END}"], []),
    ],
)
def test_each_kind_of_fault_has_its_command(keys: list[str], commands: list[str]) -> None:
    assert list(mending(keys, "s3://b/m")) == commands


def test_many_faults_are_counted_and_names_are_quoted() -> None:
    keys = [layout.manifest_key(f"p{number}", "1", f"{number:02}".replace("0", "a").ljust(32, "x")) for number in range(12)]
    (command,) = mending(keys, "/my mirror")
    assert command.startswith("spack-farm build p0/aaxxxxx ")
    assert command.endswith(" --mirror '/my mirror' --signing-key-file KEY   # and 2 more")
