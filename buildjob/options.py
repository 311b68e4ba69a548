"""Options as text: the environment that may give them, and the values of switches and durations.

The one module that reads `os.environ`. Knows no verb.
"""

import os
import re
from collections.abc import Mapping

from buildjob.errors import RequestError

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)\s*h)?\s*(?:(\d+(?:\.\d+)?)\s*m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)\s*s?)?")
_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def environment() -> dict[str, str]:
    """Return a copy of this process's environment."""
    return dict(os.environ)  # noqa: TID251  here it is read


def take_on(variables: Mapping[str, str]) -> None:
    """Put variables into this process's environment, where boto3 and gpg read them."""
    os.environ.update(variables)  # noqa: TID251  here it is written


def switch(text: str, name: str) -> bool:
    """Return the value of the variable `name`, which is a switch. Raises RequestError if it is neither true nor false."""
    if text.lower() not in _SWITCH:
        raise RequestError(f"{name}={text!r}: give true or false")
    return _SWITCH[text.lower()]


def seconds(text: str, option: str) -> float:
    """Return a duration such as `90s` or `1h30m` in seconds. Raises RequestError if it is malformed or not positive."""
    found = _DURATION.fullmatch(text.strip())
    total = (
        sum(float(part or 0) * factor for part, factor in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if total <= 0:
        raise RequestError(f"{option} {text!r}: give a time such as 90s, 15m or 1h30m")
    return total
