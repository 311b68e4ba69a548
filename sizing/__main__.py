"""Runs a verb of `spack-farm sizing`: the one way out. Errors become one line on stderr and an exit code.

Each verb is a module of `sizing.cli` with plain imports at its top. It is imported when it is called, so that `--help` loads
neither SQLAlchemy nor boto3.
"""

import importlib
import os
import sys

from sizing import extra
from sizing.cli.arguments import Arguments, parser
from sizing.errors import BadRequest, NotAccepted, SizingError

__all__ = ["main", "parser"]
_FAILED, _BAD_REQUEST, _NOT_ACCEPTED = 1, 2, 3
_CODES = {BadRequest: _BAD_REQUEST, NotAccepted: _NOT_ACCEPTED}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code."""
    arguments = parser().parse_args(argv, namespace=Arguments())
    try:
        code: int = importlib.import_module(f"sizing.cli.{arguments.verb}").run(arguments)
    except SizingError as error:
        sys.stderr.write(f"spack-farm sizing {arguments.verb}: {error}\n")
        return _CODES.get(type(error), _FAILED)
    except ModuleNotFoundError as error:
        if not extra.advice(error):
            raise
        sys.stderr.write(f"spack-farm sizing {arguments.verb}: {extra.advice(error)}\n")
        return _BAD_REQUEST
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output is gone. Python flushes stdout once more when it ends; nothing must fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


if __name__ == "__main__":
    sys.exit(main())
