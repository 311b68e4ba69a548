"""Completion scripts for shells, made by shtab from the command line's own parser, so that they cannot differ from --help.

Knows no verb. What completes to files and folders is read from the placeholders that `--help` shows.
"""

import argparse

import shtab

from spack_farm.grammar import arguments

_FOLDERS = dict.fromkeys(("DIR", "FOLDER"), shtab.DIRECTORY)
_FILES = dict.fromkeys(("FILE", "LOG", "MIRROR", "PATH", "SOURCE", "SPEC"), shtab.FILE)
_PATHS = _FOLDERS | _FILES
"""Placeholder -> what completes it."""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the completion script for one of the shells that shtab knows."""
    for argument in arguments(parser):
        if complete := _PATHS.get(str(argument.metavar)):
            vars(argument)["complete"] = complete  # where shtab looks; argparse declares no such attribute
    made: str = shtab.complete(parser, shell)
    return made
