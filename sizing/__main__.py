"""Runs a verb of `spack-farm sizing`: the one way out. Errors become one line on stderr and an exit code.

Each verb is a module of `sizing.cli` with plain imports at its top. It is imported when it is called, so that `--help` loads
neither SQLAlchemy nor boto3.
"""

import errno
import importlib
import io
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    try:
        code: int = importlib.import_module(f"sizing.cli.{arguments.verb}").run(arguments)
        sys.stdout.flush()  # here, where an error becomes a line
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
        _write_nowhere()  # the reader of our output is gone
        return _FAILED
    except OSError as error:
        if error.filename or error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        _write_nowhere()
        sys.stderr.write(f"spack-farm sizing {arguments.verb}: standard output can't be written: {error.strerror}\n")
        return _FAILED
    return code


def _write_nowhere() -> None:
    """Let standard output write nowhere: Python writes again what is left when it exits, and would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
