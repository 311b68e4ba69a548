"""Telemetry documents for tests: the realistic sample, and ways to make others from it."""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from buildjob.telemetry import Telemetry, read
from tests.labs.checkout import ROOT

SAMPLE = ROOT / "tests" / "data" / "telemetry" / "sample.json"
GIB = 1 << 30
MIB = 1 << 20


def sample(**changes: Any) -> Telemetry:
    """Return the sample with some of its parts replaced."""
    return msgspec.structs.replace(read(SAMPLE), **changes)


def change(part: Any, **changes: Any) -> Any:
    """Return a part of a document with some of its fields replaced."""
    return msgspec.structs.replace(part, **changes)


def map_texts(document: Telemetry, write: Callable[[str], str]) -> Telemetry:
    """Return the document with every text in it, keys of mappings too, replaced by what `write` makes of it."""
    return cast("Telemetry", _map(document, write))


def _map(value: Any, write: Callable[[str], str]) -> Any:
    match value:
        case str():
            return write(value)
        case list():
            return [_map(item, write) for item in value]
        case dict():
            return {write(key): _map(item, write) for key, item in value.items()}
        case msgspec.Struct():
            fields = value.__struct_fields__
            return msgspec.structs.replace(value, **{name: _map(getattr(value, name), write) for name in fields})
        case _:
            return value
