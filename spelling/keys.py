"""Keys of a document of settings that its types do not have, each with the one that may have been meant. Pure.

The types are msgspec's Structs, by their fields alone: nothing of msgspec is imported. Whether a value fits its key is
msgspec's to say.
"""

import functools
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence

from spelling.nearest import nearest, same

_UNIONS = (typing.Union, types.UnionType)
_LONGEST = 80
_SLIP = 0.85
_MOST = 20
"""More faults than these help no one, and each is compared with all known keys."""


def unknown_keys(document: object, kind: object, *, at: str = "") -> list[str]:
    """Return a sentence for each unknown key: `unknown key pools.spot.zone (did you mean pools.spot.zones?)`.

    `at` is where the document stands in its file. Structs that take unknown keys are left alone.
    """
    found = list(_unknown(document, kind, at, every_table=False))
    faults = [f"unknown key {each}" for each in _offered(found[:_MOST], kind, at)]
    return faults + ([f"{len(found) - _MOST} more unknown keys"] if len(found) > _MOST else [])


def ignored_keys(document: object, kind: object) -> list[str]:
    """Return each key that no Struct declares, with its place and what may be meant: `user.tokn (did you mean user.token?)`.

    For documents of others, whose Structs take unknown keys; at most 20.
    """
    return _offered(list(_unknown(document, kind, "", every_table=True))[:_MOST], kind, "")


def offer(key: str, place: str, here: Iterable[str], everywhere: Iterable[tuple[str, str]]) -> str:
    """Return ` (did you mean KEY?)` for an unknown key; "" if none is near.

    A slip of a letter is likelier than another table, and another table likelier than a name that is only like the key.
    `here` are the keys of its table, which stands at `place`; `everywhere` those of all, each with its whole name.
    """
    whole: dict[str, str] = {}
    for one, where in everywhere:
        whole.setdefault(one, where)
    if near := same(key, here) or nearest(key, here, likeness=_SLIP):
        return f" (did you mean {_join(place, near)}?)"
    if near := same(key, whole):
        return f" (did you mean {whole[near]}?)"
    if near := nearest(key, here):
        return f" (did you mean {_join(place, near)}?)"
    near = nearest(key, whole)
    return f" (did you mean {whole[near]}?)" if near else ""


def _offered(found: Sequence[tuple[str, str, type]], kind: object, at: str) -> list[str]:
    """Return keys with their places and offers."""
    # of two keys with one name the upper one is meant
    everywhere = sorted(_places(kind, at, ()), key=lambda one: one[1].count(".")) if found else []
    return [f"{_join(place, key)}{offer(key, place, _fields(table), everywhere)}" for key, place, table in found]


def _unknown(value: object, kind: object, at: str, *, every_table: bool) -> Iterator[tuple[str, str, type]]:
    """Yield each unknown key, the place of its table, and the table's type."""
    if kind is None:
        return  # anything may be here
    if isinstance(value, Mapping):
        table = _table(kind)
        fields = _fields(table) if table else {}
        for key, one in value.items():
            if key in fields:
                yield from _unknown(one, fields[key], _join(at, key), every_table=every_table)
            elif table and (every_table or table.__struct_config__.forbid_unknown_fields):
                yield str(key), at, table
            elif not table:
                yield from _unknown(one, _argument(kind, -1), _join(at, str(key)), every_table=every_table)
    elif isinstance(value, list | tuple):
        for position, one in enumerate(value):
            name = one.get("name") if isinstance(one, Mapping) else None
            place = _join(at, name) if isinstance(name, str) and name else f"{at}[{position}]"
            yield from _unknown(one, _argument(kind, 0), place, every_table=every_table)


def _places(kind: object, at: str, above: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    """Yield each key below a type with its whole name."""
    table = _table(kind)
    if table is None:
        inner = _argument(kind, 0 if typing.get_origin(kind) in {list, tuple} else -1)
        if inner is not None:
            yield from _places(inner, at, above)
        return
    if table in above:
        return
    for key, one in _fields(table).items():
        yield from _places(one, _join(at, key), (*above, table))
    for key in _fields(table):
        yield key, _join(at, key)


def _table(kind: object) -> typing.Any:
    """Return the Struct that a type is, or is one of the choices of; None if there is none."""
    if typing.get_origin(kind) in _UNIONS:
        return next((found for one in typing.get_args(kind) if (found := _table(one))), None)
    return kind if hasattr(kind, "__struct_fields__") else None


@functools.cache
def _fields(table: typing.Any) -> dict[str, object]:
    """Return the keys of a table as they are written, with the types of their values."""
    hints = typing.get_type_hints(table)
    return {key: hints[field] for field, key in zip(table.__struct_fields__, table.__struct_encode_fields__, strict=True)}


def _argument(kind: object, position: int) -> object:
    """Return what a list or mapping holds; None if its type does not say."""
    if typing.get_origin(kind) in _UNIONS:
        return next((found for one in typing.get_args(kind) if (found := _argument(one, position)) is not None), None)
    arguments = typing.get_args(kind)
    return arguments[position] if arguments and typing.get_origin(kind) in {list, tuple, dict} else None


def _join(place: str, key: str) -> str:
    if not (key.isprintable() and len(key) <= _LONGEST):
        key = repr(key[:_LONGEST])
    return f"{place}.{key}" if place else key
