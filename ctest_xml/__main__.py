"""Runs a verb: the one way out. Errors become one line on stderr and the exit code 2.

Each verb is a module `cli_<verb>` with plain imports at its top. It is imported when it is called, so that `--help` and
`check` load neither lxml nor requests.
"""

import importlib
import os
import sys

from ctest_xml import extra
from ctest_xml.arguments import Arguments, parser
from ctest_xml.errors import CTestXmlError

__all__ = ["main", "parser"]


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code."""
    arguments = parser().parse_args(argv, namespace=Arguments())
    try:
        code: int = importlib.import_module(f"ctest_xml.cli_{arguments.verb}").run(arguments)
    except CTestXmlError as error:
        sys.stderr.write(f"spack-farm ctest {arguments.verb}: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        if not extra.advice(error):
            raise
        sys.stderr.write(f"spack-farm ctest {arguments.verb}: {extra.advice(error)}\n")
        return 2
    except BrokenPipeError:
        # The reader of our output is gone. Python flushes stdout once more when it ends; nothing must fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
