"""Masks secrets in a text, for every document and message that leaves this process. Pure."""

import re
from collections.abc import Iterable


def mask(text: str, secret_values: Iterable[str]) -> str:
    """Return the text with each secret in it replaced by `[MASKED]`."""
    for value in sorted(secret_values, key=len, reverse=True):
        text = text.replace(value, "[MASKED]")
    return re.sub(r"(\w+://)[^/@\s:]*:[^/@\s]+@", r"\1[MASKED]@", text)
