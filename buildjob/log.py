"""The agent's own lines in the job log: callers say what a line means, this module decides where it goes and how it looks.

Errors go to standard error. Each line is flushed, so that both streams keep their order where a job log takes both. The
build's bytes do not pass here.
"""

import os
import shutil
import sys
from typing import TextIO

_STYLES = {"step": "1;36", "note": "", "warning": "1;33", "error": "1;31"}


class Log:
    """Writes the agent's own lines, each with a prefix that the build's output does not have."""

    def __init__(self, stream: TextIO | None = None, *, errors: TextIO | None = None, color: bool = False) -> None:
        """Without a stream errors go to standard error and all else to standard output, with one everything goes there."""
        self._stream: TextIO = stream if stream is not None else sys.stdout
        self._errors: TextIO = errors or stream or sys.stderr
        self.color = color
        self.width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 120)
        """Columns that tables may take."""

    def step(self, text: str) -> None:
        """Log that a new part of the work begins."""
        self._line("step", f"spack-farm: {text}")

    def note(self, text: str) -> None:
        """Log something good to know."""
        self._line("note", f"spack-farm: {text}")

    def warning(self, text: str) -> None:
        """Log something that the reader should look at."""
        self._line("warning", f"spack-farm: warning: {text}")

    def error(self, text: str) -> None:
        """Log what went wrong and what to do next."""
        self._line("error", f"spack-farm: error: {text}", self._errors)

    def plain(self, text: str) -> None:
        """Write a block of text as it is, such as a table."""
        self._write(text if text.endswith("\n") else text + "\n", self._stream)

    def _line(self, kind: str, text: str, stream: TextIO | None = None) -> None:
        style = _STYLES[kind]
        self._write(f"\x1b[{style}m{text}\x1b[0m\n" if self.color and style else f"{text}\n", stream or self._stream)

    @staticmethod
    def _write(text: str, stream: TextIO) -> None:
        encoding = stream.encoding or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except BrokenPipeError:
            # The reader closed the pipe. Python flushes again when it exits, and would end with 120: let it write nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
