"""Quantities as people write them: what no container can live with is rejected with what was likely meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.quantities import Kind, Use, core_hint, read_quantity
from executor.units import QuantityError

CPU, MEMORY, DISK = Kind.CPU, Kind.MEMORY, Kind.DISK
REQUEST, LIMIT, CAP, FLOOR = Use.REQUEST, Use.LIMIT, Use.CAP, Use.FLOOR


@pytest.mark.parametrize(
    ("kind", "use", "text", "value"),
    [
        (MEMORY, LIMIT, "4M", 4_000_000),
        (MEMORY, LIMIT, "128974848000m", 128_974_848),
        (MEMORY, LIMIT, "524288000", 524_288_000),
        (MEMORY, REQUEST, "5M", 5_000_000),
        (MEMORY, REQUEST, "1M", 1_000_000),
        (MEMORY, REQUEST, "0", 0),
        (MEMORY, FLOOR, "0", 0),
        (MEMORY, LIMIT, "16T", 16 * 10**12),
        (DISK, REQUEST, "0", 0),
        (DISK, LIMIT, "1Mi", 1 << 20),
        (CPU, REQUEST, "4000m", 4000),
        (CPU, REQUEST, "999", 999_000),
        (CPU, REQUEST, "0", 0),
        (CPU, LIMIT, "0.5", 500),
        (CPU, CAP, "4000", 4_000_000),  # an operator's way to say that there is none
    ],
)
def test_what_a_container_can_live_with_is_read_exactly(kind: Kind, use: Use, text: str, value: int) -> None:
    assert read_quantity(text, kind, use) == value


@pytest.mark.parametrize(
    ("kind", "use", "text", "words"),
    [
        (MEMORY, LIMIT, "512m", "512m is 0.5 bytes; 512M or 512Mi? A container cannot live with less than 4 MB"),
        (MEMORY, REQUEST, "512m", "512m is 0.5 bytes; 512M or 512Mi? A container cannot live with less than 1 MB"),
        (MEMORY, CAP, "512m", "512m is 0.5 bytes; 512M or 512Mi?"),
        (MEMORY, FLOOR, "256m", "256m is 0.3 bytes; 256M or 256Mi?"),
        (MEMORY, LIMIT, "512", "512 is 512 bytes; 512M or 512Mi?"),
        (MEMORY, LIMIT, "2", "2 is 2 bytes; 2G or 2Gi?"),
        (MEMORY, LIMIT, "1.5", "1.5 is 1.5 bytes; 1.5G or 1.5Gi?"),
        (MEMORY, LIMIT, "1000000", "1000000k or 1000000Ki?"),
        (MEMORY, LIMIT, "512k", "512k is 512000 bytes; 512M or 512Mi?"),
        (MEMORY, LIMIT, "1Ki", "1Ki is 1024 bytes; 1Gi?"),
        (MEMORY, LIMIT, "3M", "3M is 3000000 bytes; 3G or 3Gi?"),
        (MEMORY, LIMIT, "1n", "1n is 0.001 bytes. A container"),
        (MEMORY, LIMIT, "1e3", "1e3 is 1000 bytes. A container"),
        (MEMORY, LIMIT, "0", "To Kubernetes a limit of 0 is no limit at all"),
        (MEMORY, CAP, "0", "To Kubernetes a limit of 0 is no limit at all"),
        (MEMORY, LIMIT, "0.0Gi", "no limit at all"),
        (MEMORY, REQUEST, "9e18", "No node has 1 PB"),
        (MEMORY, LIMIT, "512MB", "is not a quantity, such as 500m, 2G or 1.5Gi; 512M or 512Mi?"),
        (MEMORY, LIMIT, "4g", "; 4G or 4Gi?"),
        (MEMORY, LIMIT, "4GiB", "; 4Gi?"),
        (MEMORY, LIMIT, "2 G", "; 2G or 2Gi?"),
        (MEMORY, LIMIT, "4096K", "; 4096k or 4096Ki?"),
        (MEMORY, LIMIT, "a lot", "'a lot' is not a quantity, such as 500m, 2G or 1.5Gi"),
        (MEMORY, LIMIT, "-1G", "'-1G' is negative"),
        (DISK, LIMIT, "10m", "10m is 0.01 bytes; 10M or 10Mi?"),
        (DISK, LIMIT, "10", "10 is 10 bytes; 10G or 10Gi?"),
        (DISK, LIMIT, "0", "no limit at all"),
        (DISK, REQUEST, "20GB", "; 20G or 20Gi?"),
        (CPU, REQUEST, "4000", "4000 is 4000 cores; 4000m? No node has 1000 cores"),
        (CPU, LIMIT, "1000", "1000 is 1000 cores; 1000m?"),
        (CPU, REQUEST, "4G", "4G is 4000000000 cores; 4?"),
        (CPU, REQUEST, "500M", "500M is 500000000 cores; 500m?"),
        (CPU, REQUEST, "4cores", "; 4?"),
        (CPU, REQUEST, "4,5", "is not a quantity"),
        (CPU, LIMIT, "0", "no limit at all"),
    ],
)
def test_what_no_container_can_live_with_is_rejected_with_what_was_likely_meant(
    kind: Kind, use: Use, text: str, words: str
) -> None:
    with pytest.raises(QuantityError) as raised:
        read_quantity(text, kind, use)
    assert words in str(raised.value)


@given(
    st.text(st.sampled_from("0123456789.+-eEmkMGTPi \nnu\u0661"), max_size=70),
    st.sampled_from(list(Kind)),
    st.sampled_from(list(Use)),
)
def test_whatever_is_offered_instead_could_be_written(text: str, kind: Kind, use: Use) -> None:
    try:
        read_quantity(text, kind, use)
    except QuantityError as error:
        question, mark, _ = str(error).rpartition("?")
        for offered in question.rpartition("; ")[2].split(" or ") if mark else []:
            read_quantity(offered, kind, use)


@pytest.mark.parametrize(("text", "hint"), [("500", " (500 is 500 cores; 500m?)"), ("500m", ""), ("0.5", ""), ("99999", "")])
def test_cores_over_a_cap_are_told_where_thousandths_would_keep_it(text: str, hint: str) -> None:
    assert core_hint(text, 16_000) == hint
