"""The logs of tests/data/logs with what a maintainer reads in them. Its README.md explains the keys of expected.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLog:
    """A log of a real tool, and the truth about it."""

    name: str
    path: Path
    family: str
    tool: str
    passes: bool
    first: int = 0
    """The line that is the cause, from 1; 0 in a log that passes."""
    text: str = ""
    """How that line reads, at most 160 characters; of a progress bar's line what a terminal shows at its end."""
    file: str = ""
    """The file, or `file:line`, that the cause names; empty: none, or none in the words of the line itself."""
    as_good: tuple[int, ...] = ()
    """Lines that would serve a reader as well as `first`."""
    errors: tuple[int, ...] = ()
    """All lines that speak of the failure, `first` and `as_good` among them."""

    def is_first(self, reported: list[int]) -> bool:
        """Return whether the first of the reported lines is a right one."""
        return bool(reported) and reported[0] in {self.first, *self.as_good}


def known_logs(folder: Path) -> list[KnownLog]:
    """Return the logs of a folder with an expected.toml, by name."""
    table: dict[str, dict[str, Any]] = tomllib.loads((folder / "expected.toml").read_text())
    for known in table.values():
        known |= {key: tuple(value) for key, value in known.items() if isinstance(value, list)}
    return [KnownLog(name=name, path=folder / f"{name}.log", **known) for name, known in sorted(table.items())]
