"""The manual page spack-farm(1), made by argparse-manpage from the command line's own parser.

Knows no verb. argparse-manpage leaves out the epilogs of verbs, which hold their examples and exit codes: they are added
here. Source: man-pages(7), groff_man(7).
"""

import argparse
import functools
from collections.abc import Iterable

from argparse_manpage.manpage import Manpage

from spack_farm.grammar import parsers

_UNBROKEN = functools.partial(argparse.RawDescriptionHelpFormatter, width=100_000)
"""Breaks no lines: troff does."""


def page(parser: argparse.ArgumentParser, verbs: Iterable[argparse.ArgumentParser], *, version: str) -> str:
    """Return the manual page in troff. `verbs` are the parsers of the verbs in `parser`."""
    for each in parsers(parser):
        each.formatter_class = _UNBROKEN
    made = Manpage(parser, format="single-commands-section")
    made.description = parser.description
    made.manual = "User Commands"
    made.source = f"spack-farm {version}"
    made.date = ""  # the same page from the same version
    for verb in verbs:
        if verb.epilog:
            examples = f".SS {_troff(verb.prog)}\n.nf\n{_troff(verb.epilog.strip())}\n.fi\n"
            made.add_section("examples and exit codes", ">", examples)
    return str(made)


def _troff(text: str) -> str:
    """Return the text with what troff would read as its own escaped."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.split("\n"))
