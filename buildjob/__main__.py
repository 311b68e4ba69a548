"""The agent's way in and its one way out: errors become one line and the exit code of their kind here, nowhere else."""

import argparse
import sys
import traceback
from collections.abc import Sequence

from buildjob import cli, options
from buildjob.errors import AgentError, Interrupted
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES


def parser() -> argparse.ArgumentParser:
    """Return the parser of the verb."""
    return cli.parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spack-farm build` with these arguments; return its exit code."""
    arguments = cli.parser().parse_args(argv)
    from buildjob import request  # noqa: PLC0415  --help need not load it

    variables = options.environment()
    color = not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stdout.isatty())
    log = Log(color=color)
    try:
        asked = request.parse(arguments, variables)
        from buildjob.build import build  # noqa: PLC0415  what is refused above need not load it

        return build(asked, log)
    except Interrupted as stopped:
        log.error(str(stopped))
        return 128 + stopped.signal_number
    except AgentError as error:
        log.error(str(error))
        return EXIT_CODES[error.outcome]
    except Exception:  # noqa: BLE001  the one place that catches broadly: Python's own 1 would blame the package
        log.error("a bug in spack-farm; please report it with these lines\n" + traceback.format_exc())
        return BUG


if __name__ == "__main__":
    sys.exit(main())
