"""The XDG folders of a user, in each of which spack-farm has one folder. Pure; touches no file system.

Source: XDG Base Directory Specification 0.8.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

NAME = "spack-farm"


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of one user; none of them need exist."""

    cache: Path
    """For what can be made again: Spack checkouts, virtual environments."""
    config: Path
    """For what the user writes."""
    state: Path
    """For what should survive a restart, and may be lost."""


def from_environment(environment: Mapping[str, str]) -> Paths:
    """Return the folders that the XDG variables name; relative and empty values are ignored, as the specification asks."""
    home = Path(environment.get("HOME") or "/")

    def folder(variable: str, default: str) -> Path:
        named = Path(environment.get(variable, ""))
        return (named if named.is_absolute() else home / default) / NAME

    return Paths(
        cache=folder("XDG_CACHE_HOME", ".cache"),
        config=folder("XDG_CONFIG_HOME", ".config"),
        state=folder("XDG_STATE_HOME", ".local/state"),
    )
