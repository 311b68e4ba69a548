"""What a place for the size table is."""

from typing import Protocol


class Target(Protocol):
    """A place that holds one table. What was read last is what a write may replace."""

    name: str
    most_bytes: int | None
    """The largest compressed table that it takes; None: any."""

    def read(self) -> bytes | None:
        """Return what is there; None if there is nothing. Raises SourceError."""

    def write(self, content: bytes) -> None:
        """Replace what was read. Raises Overtaken if another writer has done so meanwhile, TooLarge, SourceError."""
