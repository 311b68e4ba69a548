"""Amounts as people and Kubernetes write them. Pure. Source: Kubernetes apimachinery, pkg/api/resource/quantity.go."""

import math
import re
from fractions import Fraction

MOST_BYTES = 1 << 50
"""More than any machine has; ladders above it stay within what the driver reads."""
_SYNTAX = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", re.ASCII)
_FACTORS = {"m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9)}
_FACTORS |= {"T": Fraction(10**12), "P": Fraction(10**15)}
_FACTORS |= {unit + "i": Fraction(1 << 10 * power) for power, unit in enumerate("KMGTP", 1)}


def parse_quantity(text: str, *, per_unit: int = 1) -> int:
    """Return a quantity times `per_unit`, rounded up: 1 for bytes, 1,000 for millicores. Raises ValueError."""
    found = _SYNTAX.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a quantity, such as 500m, 2G or 1.5Gi")
    return math.ceil(Fraction(found[1]) * _FACTORS[found[2] or ""] * per_unit)


def in_gib(value: int) -> str:
    """Return bytes for people: `11.8 GiB`, `64 MiB` below a GiB."""
    if value < 1023.5 * (1 << 20):
        return f"{value / (1 << 20):.0f} MiB"
    return f"{value / (1 << 30):.1f} GiB"
