"""Finds the texts that a tool quotes in its output: bodies of warnings, commit messages, patches. Bytes in, yes or no out.

Such a text may hold any words. It ends with the first line that cannot be part of it. Knows nothing of events.
"""

import re
from collections.abc import Sequence


class QuotedTexts:
    """Follows a log from one line of interest to the next."""

    def __init__(self, quotes: Sequence[tuple[str, str]]) -> None:
        self._quotes = [(re.compile(begin.encode()), re.compile(further.encode())) for begin, further in quotes]
        self._further: re.Pattern[bytes] | None = None

    def goes_on(self, between: bytes, line: bytes | None = None) -> bool:
        """Return whether a line is part of the text that an earlier one has begun; `between`: the lines since the last call.

        Without a line, whether the text goes on after them.
        """
        further = self._further
        if further is None:
            return False
        lines = [*between.split(b"\n")[:-1], *([] if line is None else [line])]
        if all(further.fullmatch(each) for each in lines):
            return True
        self._further = None
        return False

    def begin(self, line: bytes) -> None:
        """Note that a text begins after this line, if it does."""
        self._further = next((further for begin, further in self._quotes if begin.search(line)), None)
