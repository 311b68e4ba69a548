"""Prints what this distribution needs, one requirement a line: `requirements.py [--lowest] EXTRA… [--group GROUP]`.

With `--lowest` each requirement is pinned to the lowest version that pyproject.toml allows. pip reads no dependencies of
a project that it does not install; images use this so that their layer of dependencies changes only when they do.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OWN = re.compile(r"spack-farm\[([a-z,]+)\]")


def of_extra(pyproject: dict[str, Any], name: str) -> Iterator[str]:
    """Yield the requirements of an extra; where one includes others of our own, theirs."""
    for line in pyproject["project"]["optional-dependencies"][name]:
        if own := _OWN.fullmatch(line):
            for included in own[1].split(","):
                yield from of_extra(pyproject, included)
        else:
            yield line


def of_group(pyproject: dict[str, Any], name: str) -> Iterator[str]:
    """Yield the requirements of a dependency group and of the groups that it includes."""
    for line in pyproject["dependency-groups"][name]:
        if isinstance(line, dict):
            yield from of_group(pyproject, line["include-group"])
        else:
            yield line


def main() -> None:
    """Print the requirements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    parser.add_argument("--group", metavar="GROUP", action="append", default=[])
    parser.add_argument("--lowest", action="store_true")
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent
    path = next(folder / "pyproject.toml" for folder in (here, here.parent) if (folder / "pyproject.toml").exists())
    pyproject = tomllib.loads(path.read_text("utf-8"))
    wanted = list(pyproject["project"]["dependencies"])
    for extra in arguments.extras:
        wanted += of_extra(pyproject, extra)
    for group in arguments.group:
        wanted += of_group(pyproject, group)
    lines = dict.fromkeys(wanted)
    sys.stdout.writelines((line.replace(">=", "==") if arguments.lowest else line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
