"""A page of the documentation as the steps of its reader: commands, files, a job. Pure: text in, values out.

A fenced block `console` has commands, each after `$ `, continued after a backslash; its other lines are a part of what the
commands print. A block that begins with a comment `# NAME` and no space in it is the content of that file.
"""

import dataclasses
import re
import textwrap

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\S+)\n")


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The path of the file whose content this is; empty if it is none."""
        found = _NAMED.match(self.text)
        return found[1] if found else ""

    @property
    def script(self) -> str:
        """The commands, one after the other."""
        return "\n".join(line.removeprefix("$ ") for line, is_command in self._lines() if is_command)

    @property
    def output(self) -> list[str]:
        """The lines that the commands print."""
        return [line for line, is_command in self._lines() if not is_command]

    def _lines(self) -> list[tuple[str, bool]]:
        lines: list[tuple[str, bool]] = []
        continued = False
        for line in self.text.splitlines():
            is_command = continued or line.startswith("$ ")
            lines.append((line, is_command))
            continued = is_command and line.endswith("\\")
        return lines


def sections(text: str) -> dict[str, list[Block]]:
    """Return the fenced blocks below each heading of the second level, in the page's order."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: blocks(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def blocks(text: str) -> list[Block]:
    """Return all fenced blocks, in the page's order."""
    return [Block(found["language"], textwrap.dedent(found["text"])) for found in _FENCE.finditer(text)]
