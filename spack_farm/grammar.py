"""The whole command line as one parser of argparse, and a walk through it. Knows no verb: it gets their parsers.

argparse lists a parser's arguments and the parsers below it only in an attribute of its own; it is read here alone.
"""

import argparse
from collections.abc import Iterator, Mapping

SHELLS = ("bash", "zsh", "fish")
"""Shells that completion scripts are made for."""


def whole(
    verbs: Mapping[str, argparse.ArgumentParser], *, summaries: Mapping[str, str], description: str
) -> argparse.ArgumentParser:
    """Return one parser with all verbs below it, in the order of `summaries`: one line for each verb."""
    parser = argparse.ArgumentParser(prog="spack-farm", description=description)
    parser.add_argument("--version", action="store_true", help="print the versions of spack-farm, Python and Spack")
    below = parser.add_subparsers(title="verbs", metavar="VERB")
    for name, summary in summaries.items():
        if verb := verbs.get(name):
            below.add_parser(
                name, help=summary, description=verb.description, epilog=verb.epilog, parents=[verb], add_help=False,
                formatter_class=verb.formatter_class,
            )  # fmt: skip
            continue
        own = below.add_parser(name, help=summary, description=f"{summary}.")
        if name == "completion":
            own.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    return parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and all parsers below it."""
    yield parser
    for action in parser._actions:  # noqa: SLF001  see above
        if isinstance(action.choices, dict):
            for below in action.choices.values():
                yield from parsers(below)


def below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers just below a parser, by the words that call them."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # noqa: SLF001  see above
        if isinstance(action.choices, dict):
            found |= action.choices
    return found


def option_strings(parser: argparse.ArgumentParser) -> list[str]:
    """Return the long options of a parser."""
    return [text for action in parser._actions for text in action.option_strings if text.startswith("--")]  # noqa: SLF001


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of all parsers below it."""
    for each in parsers(parser):
        yield from (action for action in each._actions if not isinstance(action.choices, dict))  # noqa: SLF001  see above
