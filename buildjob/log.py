"""The agent's own lines in the job log: callers say what a line means, this module decides where it goes and how it looks.

Errors go to standard error. Each line is flushed, so that both streams keep their order where a job log takes both. The
build's bytes do not pass here.
"""

import os
import shutil
import sys
from typing import TextIO

from buildjob.event_output import Events
from status_line.screen import Screen

LINE_PREFIX = "spack-farm: "
_STYLES = {"step": "1;36", "note": "", "warning": "1;33", "error": "1;31"}


class Log:
    """Writes the agent's own lines, each with a prefix that the build's output does not have."""

    def __init__(  # noqa: PLR0913  where lines go, and what they look like there
        self,
        stream: TextIO | None = None,
        *,
        color: bool = False,
        error_color: bool | None = None,
        screen: Screen | None = None,
        quiet: bool = False,
        events: Events | None = None,
    ) -> None:
        """Without a stream errors go to standard error and all else to standard output, with one everything goes there.

        `error_color` is that of errors, where it is another one. `screen` is the terminal on which lines may be rewritten.
        With `quiet` only errors and results are shown.
        """
        self._stream: TextIO = stream if stream is not None else sys.stdout
        self._errors: TextIO = stream if stream is not None else sys.stderr
        self.color = color
        self._error_color = color if error_color is None else error_color
        self.is_quiet = quiet
        self.events = events or Events()
        """For other programs: warnings and errors are events, too, also those that are not shown."""
        self.screen = screen or Screen()
        """Where the status line is shown: whatever else is written to that terminal passes through it."""
        self.width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 120)
        """Columns that tables may take."""
        self.last_step = ""
        """What began last, for lines that say how long it lasts."""

    def step(self, text: str) -> None:
        """Log that a new part of the work begins."""
        self.last_step = text
        self._line("step", f"{LINE_PREFIX}{text}")

    def note(self, text: str) -> None:
        """Log something good to know."""
        self._line("note", f"{LINE_PREFIX}{text}")

    def summary(self, text: str) -> None:
        """Log what the call has done in all: its last line, which a quiet log shows, too."""
        self.result(f"{LINE_PREFIX}{text}")

    def warning(self, text: str) -> None:
        """Log something that the reader should look at."""
        self.events.warn(text)
        self._line("warning", f"{LINE_PREFIX}warning: {text}")

    def error(self, text: str) -> None:
        """Log what went wrong and what to do next."""
        self.events.fail(text)
        self._line("error", f"{LINE_PREFIX}error: {text}", is_error=True)

    def plain(self, text: str) -> None:
        """Write a block of text as it is, such as a table."""
        if not self.is_quiet:
            self.result(text)

    def result(self, text: str) -> None:
        """Write what the call was for, as it is: beside errors, all that a quiet log shows."""
        self._write(text if text.endswith("\n") else text + "\n", self._stream)

    def output(self, line: str) -> None:
        """Print a line of what was asked for, which another program may read, to standard output."""
        with self.screen.cleared():
            sys.stdout.write(f"{line}\n")  # an error of writing is the caller's: what it was asked for is not there

    def _line(self, kind: str, text: str, *, is_error: bool = False) -> None:
        if self.is_quiet and not is_error:
            return
        style, color = _STYLES[kind], self._error_color if is_error else self.color
        self._write(
            f"\x1b[{style}m{text}\x1b[0m\n" if color and style else f"{text}\n", self._errors if is_error else self._stream
        )

    def _write(self, text: str, stream: TextIO) -> None:
        with self.screen.cleared():
            self._write_alone(text, stream)

    def _write_alone(self, text: str, stream: TextIO) -> None:
        encoding = stream.encoding or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except OSError as error:
            # The reader closed the pipe, or the disk of a file is full: the work goes on without its lines. Python flushes
            # again when it exits, and would end with 120: let it write nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError) and stream is not self._errors:
                self.error(f"standard output takes no more lines: {error.strerror or error}")
