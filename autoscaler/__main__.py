"""Runs a verb of `spack-farm autoscaler`: the one way out. Errors become one line on stderr and an exit code.

Each verb is a module of `autoscaler.cli` with plain imports at its top. It is imported when it is called, so that `--help`
loads neither the Kubernetes client nor boto3.
"""

import importlib
import os
import sys

from autoscaler import extra
from autoscaler.cli.arguments import Arguments, parser
from autoscaler.errors import AutoscalerError, BadRequest

__all__ = ["main", "parser"]
_FAILED, _BAD_REQUEST = 1, 2


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code."""
    arguments = parser().parse_args(argv, namespace=Arguments())
    try:
        code: int = importlib.import_module(f"autoscaler.cli.{arguments.verb}").run(arguments)
        sys.stdout.flush()
    except AutoscalerError as error:
        sys.stderr.write(f"spack-farm autoscaler {arguments.verb}: {error}\n")
        return _BAD_REQUEST if isinstance(error, BadRequest) else _FAILED
    except ModuleNotFoundError as error:
        if not extra.advice(error):
            raise
        sys.stderr.write(f"spack-farm autoscaler {arguments.verb}: {extra.advice(error)}\n")
        return _BAD_REQUEST
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return _FAILED
    except OSError as error:
        # Files are read where a fault has a message of its own: standard output is left. The service writes none.
        if error.filename is not None or arguments.verb == "run":
            raise
        _drop_output()
        sys.stderr.write(f"spack-farm autoscaler {arguments.verb}: the output can't be written: {error.strerror}\n")
        return _FAILED
    return code


def _drop_output() -> None:
    """Let what is still to be written go nowhere: Python flushes stdout once more when it ends; nothing must fail then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
