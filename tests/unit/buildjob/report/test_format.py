"""How figures are written: tables of edges, and that nothing finite or infinite breaks a line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.report.format import format_bytes, format_cores, format_seconds, format_share, round_up_bytes

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (_KIB, "1 KiB"),
        (1536, "1.50 KiB"),
        (10 * _KIB - 1, "10.0 KiB"),
        (999 * _KIB, "999 KiB"),
        (_MIB - 1, "1.00 MiB"),
        (431 * _MIB + 12288, "431 MiB"),
        (512 * _MIB, "512 MiB"),
        (1000 * _MIB, "0.977 GiB"),
        (2 * _GIB, "2 GiB"),
        (2 * _GIB + 5 * _MIB, "2.00 GiB"),
        (int(12.34 * _GIB), "12.3 GiB"),
        (int(123.4 * _GIB), "123 GiB"),
        (5 << 40, "5 TiB"),
        (3 << 60, "3 EiB"),
        (1000 << 60, "1000 EiB"),
        (-2 * _GIB, "-2 GiB"),
    ],
)
def test_bytes_are_written_with_three_digits(count: int, written: str) -> None:
    assert format_bytes(count) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (0.0001, "< 0.01 s"),
        (0.00499, "< 0.01 s"),
        (0.006, "0.01 s"),
        (0.431, "0.43 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (41.34, "41.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (150.84, "2 min 31 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3720, "1 h 02 min"),
        (86369, "23 h 59 min"),
        (86399, "1 d 00 h"),
        (90000, "1 d 01 h"),
        (3 * 86400 + 4 * 3600, "3 d 04 h"),
        (-41.34, "-41.3 s"),
        (math.inf, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_seconds_are_written_with_their_two_leading_units(seconds: float, written: str) -> None:
    assert format_seconds(seconds) == written


@pytest.mark.parametrize(
    ("cores", "written"),
    [
        (0, "0 cores"),
        (0.004, "< 0.01 cores"),
        (0.005, "0.01 cores"),
        (0.5, "0.50 cores"),
        (1, "1 core"),
        (1.682, "1.68 cores"),
        (12.34, "12.3 cores"),
        (99.96, "100 cores"),
        (128, "128 cores"),
        (-1.5, "-1.50 cores"),
        (math.nan, "unknown"),
    ],
)
def test_cores_are_written_with_three_digits(cores: float, written: str) -> None:
    assert format_cores(cores) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        (1, 4, "25 %"),
        (1, 64, "1.6 %"),
        (1, 2001, "< 0.1 %"),
        (0, 4, "0 %"),
        (4, 3, "133 %"),
        (99.4, 1000, "9.9 %"),
        (99.6, 1000, "10 %"),
        (1, 0, ""),
        (1, -1, ""),
        (-1, 4, ""),
        (math.nan, 4, ""),
        (1, math.inf, ""),
    ],
)
def test_a_share_is_percent_or_nothing(part: float, whole: float, written: str) -> None:
    assert format_share(part, whole) == written


@given(st.integers())
def test_any_number_of_bytes_is_short(count: int) -> None:
    assert len(format_bytes(count)) <= 14


@given(st.floats())
def test_any_duration_and_any_number_of_cores_is_short(value: float) -> None:
    assert len(format_seconds(value)) <= 20
    assert len(format_cores(value)) <= 22


@given(st.integers(1, 1 << 50))
def test_a_size_to_ask_for_is_enough_and_at_most_an_eighth_too_much(count: int) -> None:
    size = round_up_bytes(count)
    assert size % (64 * _MIB) == 0
    assert count <= size <= max(64 * _MIB, count + count // 8 + 64 * _MIB)


def test_a_size_to_ask_for_reads_well() -> None:
    assert [format_bytes(round_up_bytes(count)) for count in (0, 1, _GIB, _GIB + 1, 31 * _GIB // 10)] == [
        "64 MiB",
        "64 MiB",
        "1 GiB",
        "1.12 GiB",
        "3.25 GiB",
    ]
