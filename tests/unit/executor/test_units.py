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


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 MiB"),
        (1, "1 KiB"),
        (1000, "1 KiB"),
        ((1 << 20) - 1, "1 MiB"),
        (1 << 20, "1 MiB"),
        (1023 << 20, "1023 MiB"),
        (int(1023.9 * (1 << 20)), "1.0 GiB"),  # not 1024 MiB
        (1 << 30, "1.0 GiB"),
    ],
)
def test_sizes_at_the_edges_of_a_unit_read_well(count: int, text: str) -> None:
    assert in_gib(count) == text


@pytest.mark.parametrize(
    ("millicores", "text"), [(0, "0"), (0.2, "0.001"), (4, "0.004"), (40, "0.04"), (50, "0.05"), (95, "0.1"), (250, "0.2")]
)
def test_a_part_of_a_core_is_not_none(millicores: float, text: str) -> None:
    assert in_cores(millicores) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0.1 s"), (0, "0.1 s"), (0.04, "0.1 s"), (0.4, "0.4 s"), (0.96, "1 s"), (99.4, "99 s"), (99.6, "2 min")],
)
def test_no_time_is_nothing_or_less(seconds: float, text: str) -> None:
    assert in_time(seconds) == text
