import pytest

from ctest_xml.naming import build_name, build_stamp


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({}, "zlib"),
        ({"compiler": "gcc@12"}, "zlib %gcc@12"),
        ({"compiler": "gcc@12", "architecture": "linux-debian12-x86_64"}, "zlib %gcc@12 linux-debian12-x86_64"),
    ],
)
def test_a_build_name_holds_what_stays_equal_from_run_to_run(parts: dict[str, str], name: str) -> None:
    assert build_name(package="zlib", **parts) == name


def test_a_build_stamp_is_in_utc_and_ends_with_the_group() -> None:
    assert build_stamp(start_seconds=1795333320.9, group="Nightly") == "20261122-0742-Nightly"
    assert build_stamp(start_seconds=0, group="") == "19700101-0000-Experimental"
