import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.units import (
    QuantityError,
    format_bytes,
    format_millicores,
    in_cores,
    in_gib,
    in_time,
    parse_bytes,
    parse_millicores,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("5M", 5_000_000),
        ("16G", 16_000_000_000),
        ("1.5Gi", 3 << 29),
        ("128974848", 128_974_848),
        ("129e6", 129_000_000),
        ("129E6", 129_000_000),
        ("1E", 10**18),
        ("128974848000m", 128_974_848),
        ("1m", 1),
        (".5Ki", 512),
        ("+2k", 2000),
        (" 1Ki ", 1024),
    ],
)
def test_memory_quantities_are_exact(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("750m", 750), ("12", 12_000), ("0.1", 100), ("4000m", 4000), ("1n", 1), ("2e1", 20_000)]
)
def test_cpu_quantities_are_thousandths(text: str, value: int) -> None:
    assert parse_millicores(text) == value


@pytest.mark.parametrize(
    "text", ["", " ", "G", "1g", "1GiB", "1 G", "--1", "1e", "1e9999", "½", "\u0661", "1" * 65, "-1", ".", "0x10"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=1 << 62))
def test_what_is_written_is_read_back(value: int) -> None:
    assert parse_bytes(format_bytes(value)) == value
    assert parse_millicores(format_millicores(value)) == value


def test_sizes_read_well() -> None:
    assert [in_gib(64 << 20), in_gib(12 << 30), in_cores(3400), in_cores(4000)] == ["64 MiB", "12.0 GiB", "3.4", "4"]
    assert [in_time(41), in_time(2460), in_time(11520)] == ["41 s", "41 min", "3.2 h"]
