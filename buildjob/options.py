"""Options as text: the environment that may give them, what cannot be a value, and the values of switches and durations.

The one module that reads `os.environ`. Knows no verb.
"""

import os
import re
from collections.abc import Iterable, Mapping

from buildjob.errors import RequestError
from spelling.variables import unknown_variables

_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)\s*d)?\s*(?:(\d+(?:\.\d+)?)\s*h)?\s*(?:(\d+(?:\.\d+)?)\s*m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)\s*s?)?"
)
_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(kB?|[KMGT]i?B?|)")
_MEMORY_UNITS = {"": 1, "k": 1000, "kB": 1000}
_MEMORY_UNITS |= {f"{unit}{end}": 1000 ** (power + 1) for power, unit in enumerate("KMGT") for end in ("", "B")}
_MEMORY_UNITS |= {f"{unit}i{end}": 1024 ** (power + 1) for power, unit in enumerate("KMGT") for end in ("", "B")}
_LEAST_MEMORY_BYTES = 16 << 20


def environment() -> dict[str, str]:
    """Return a copy of this process's environment."""
    return dict(os.environ)  # noqa: TID251  here it is read


def take_on(variables: Mapping[str, str]) -> None:
    """Put variables into this process's environment, where boto3 and gpg read them."""
    os.environ.update(variables)  # noqa: TID251  here it is written


def reject_empty(values: Mapping[str, object], *, positional: Mapping[str, str] | None = None) -> None:
    """Raise RequestError for an option or argument that is given and empty, or nothing but space.

    A script that passes a variable which is not set gives such a value; to take it for no option would leave something out
    silently. `positional` are arguments without an option, and how --help calls them.
    """
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.strip():
                option = (positional or {}).get(name) or f"--{name.replace('_', '-')}"
                raise RequestError(f"{option} is empty: give a value, or omit it")


def reject_useless(
    given: Mapping[str, object], needs: Mapping[str, tuple[str, ...]], *, known: Mapping[str, object]
) -> None:
    """Raise RequestError for an option that is given on the command line and has no effect without others.

    `needs` has for each such option those of which one must be there; `known` has the values of all, from wherever.
    """
    for name, others in needs.items():
        if is_given(given.get(name)) and not any(is_given(known.get(other)) for other in others):
            names = " or ".join(option_of(other) for other in others)
            raise RequestError(f"{option_of(name)} has no effect without {names}: give that as well, or omit it")


def is_given(value: object) -> bool:
    """Return whether an option or a switch is given; one that is turned off by `--no-…` is."""
    return value is not None and (value is False or bool(value))


def option_of(name: str) -> str:
    """Return an option as it is written on the command line."""
    return "--no-publish" if name == "publish" else f"--{name.replace('_', '-')}"


def reject_misspelled(variables: Mapping[str, str], prefix: str, options: Iterable[str], *, verb: str) -> None:
    """Raise RequestError for a variable with the prefix that gives no option of the verb, or gives an empty value.

    `options` are the names of those that variables may give, in small letters.
    """
    known = [prefix + option.upper() for option in options]
    for name, offer in unknown_variables(variables, known, prefix):
        raise RequestError(
            f"the variable {name} is unknown{offer}: correct or unset it; spack-farm {verb} --help describes all options"
        )
    for name in sorted(set(known) & set(variables)):
        if not variables[name].strip():
            raise RequestError(f"the variable {name} is empty: give a value, or unset it")


def switch(text: str, name: str) -> bool:
    """Return the value of the variable `name`, which is a switch. Raises RequestError if it is neither true nor false."""
    if text.lower() not in _SWITCH:
        raise RequestError(f"{name}={text!r}: give true or false")
    return _SWITCH[text.lower()]


def is_true(text: str) -> bool:
    """Return whether a switch is on; what is neither true nor false is rejected elsewhere."""
    return _SWITCH.get(text.lower(), False)


def memory_bytes(text: str, option: str) -> int:
    """Return an amount of memory as Kubernetes writes it, in bytes: `4Gi`, `4G`, `512Mi`.

    Raises RequestError if it is none, or so small that no program starts in it: `512m` is half a byte.
    """
    found = _MEMORY.fullmatch(text.strip())
    total = int(float(found[1]) * _MEMORY_UNITS[found[2]]) if found else 0
    if total < _LEAST_MEMORY_BYTES:
        raise RequestError(f"{option} {text!r}: give an amount such as 4Gi, 4G or 512Mi, and at least 16Mi")
    return total


def seconds(text: str, option: str, *, such_as: str = "such as 90s, 15m or 1h30m") -> float:
    """Return a duration such as `90s`, `1h30m` or `2d` in seconds. Raises RequestError if it is malformed or zero."""
    found = _DURATION.fullmatch(text.strip())
    total = (
        sum(float(part or 0) * factor for part, factor in zip(found.groups(), (86400, 3600, 60, 1), strict=True))
        if found
        else 0
    )
    if total <= 0:
        raise RequestError(f"{option} {text!r}: give a time {such_as}")
    return total
