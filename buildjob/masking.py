"""Masks secrets in a text, for every document and message that leaves this process. Pure."""

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

_CREDENTIALS = re.compile(r"(?<=\w://)[^/@\s:]*:[^/@\s]+@")
"""User and password of a URL. Looked for behind `://`: from a scheme's start it would take quadratic time in long words."""
_Document = TypeVar("_Document", bound=msgspec.Struct)


def mask(text: str, secret_values: Iterable[str]) -> str:
    """Return the text with each secret in it replaced by `[MASKED]`, and the user and password of each URL."""
    # the longest first: a secret may contain another, and must not be left in half
    for value in sorted(secret_values, key=len, reverse=True):
        text = text.replace(value, "[MASKED]")
    return _CREDENTIALS.sub("[MASKED]@", text)


def mask_document(document: _Document, secret_values: frozenset[str]) -> _Document:
    """Return a document with each secret in its texts masked; its own field names stay."""
    fields = {name: _mask_value(getattr(document, name), secret_values) for name in document.__struct_fields__}
    return msgspec.structs.replace(document, **fields)


def _mask_value(value: Any, secret_values: frozenset[str]) -> Any:
    match value:
        case str():
            return mask(value, secret_values)
        case [int() | float(), *_]:  # thousands of samples hold no text
            return value
        case list():
            return [_mask_value(item, secret_values) for item in value]
        case dict():
            return {mask(key, secret_values): _mask_value(item, secret_values) for key, item in value.items()}
        case msgspec.Struct():
            return mask_document(value, secret_values)
        case _:
            return value
