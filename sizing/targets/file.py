"""The size table in a file: replaced by rename, so that a reader finds the old one or the new one whole."""

import os
import stat
import tempfile
from pathlib import Path

from sizing.errors import SourceError
from sizing.size_table import pack


class File:
    """A file; its content is compressed where its name ends with `.gz`."""

    most_bytes: int | None = None

    def __init__(self, path: Path) -> None:
        """Nothing is touched yet. Through a link, what it leads to is replaced."""
        self._path = Path(os.path.realpath(path))
        self.name = str(path)

    def read(self) -> bytes | None:
        """Return the content. Raises SourceError."""
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise SourceError(f"{self.name} can't be replaced: it is not a regular file")
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceError(f"{self.name} can't be read: {error.strerror}") from error

    def write(self, content: bytes) -> None:
        """Replace the content. Raises SourceError."""
        try:
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=f".{self._path.name}.", delete=False) as file:
                try:
                    file.write(pack(content) if self._path.suffix == ".gz" else content)
                    file.flush()
                    os.fchmod(file.fileno(), 0o644)
                    os.fsync(file.fileno())
                    Path(file.name).replace(self._path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise SourceError(f"{self.name} can't be written: {error.strerror}") from error
