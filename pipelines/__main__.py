"""Runs a verb of `spack-farm pipelines`: the one way out. Errors become one line on stderr and an exit code.

Each verb is a module of `pipelines.cli` with plain imports at its top. It is imported when it is called.
"""

import importlib
import os
import sys

from pipelines import extra
from pipelines.cli.arguments import Arguments, parser
from pipelines.errors import PipelineError

__all__ = ["main", "parser"]
_FAILED, _BAD_REQUEST = 1, 2


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code."""
    arguments = parser().parse_args(argv, namespace=Arguments())
    try:
        code: int = importlib.import_module(f"pipelines.cli.{arguments.verb}").run(arguments)
    except PipelineError as error:
        sys.stderr.write(f"spack-farm pipelines {arguments.verb}: {error}\n")
        return error.code
    except ModuleNotFoundError as error:
        if not extra.advice(error):
            raise
        sys.stderr.write(f"spack-farm pipelines {arguments.verb}: {extra.advice(error)}\n")
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
