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
        # The reader of our output is gone. Python flushes stdout once more when it ends; nothing must fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


if __name__ == "__main__":
    sys.exit(main())
