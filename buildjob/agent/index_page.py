"""Keeps the page of all run folders up to date while a call builds one package after the other. Never changes an outcome."""

import time
import typing
from pathlib import Path

from buildjob.log import Log

if typing.TYPE_CHECKING:
    from buildjob.report.many.folder import Reader

_SELDOM_SECONDS = 30.0


class IndexPage:
    """`index.html` of the folder with the run folders."""

    def __init__(self, out: Path, log: Log) -> None:
        self._out = out
        self._log = log
        self._written: float | None = None
        self._reader: Reader | None = None

    def update(self) -> None:
        """Write the page, unless that was done a moment ago."""
        if self._written is None or time.monotonic() > self._written + _SELDOM_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the page. A fault is a warning."""
        from buildjob.report.many.folder import Reader  # noqa: PLC0415  the agent stays small while it builds
        from buildjob.report.many.write_index import NotOurs, update  # noqa: PLC0415

        self._reader = self._reader or Reader(self._out)
        try:
            update(self._out, self._reader)
        except NotOurs as error:
            self._log.note(str(error))
        except Exception as error:  # noqa: BLE001  reporting never fails a build
            self._log.warning(f"the page of all builds in {self._out} could not be written: {type(error).__name__}: {error}")
        self._written = time.monotonic()
