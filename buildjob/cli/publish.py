"""`spack-farm publish`: publish, index, verify and prune a build cache.

Calls the verb's own module, `publish_VERB`, and is the one way out: an error becomes a line, with `--json` also an object,
and the exit code of its kind. Options may come from variables `SPACK_FARM_PUBLISH_…`.
"""

import errno
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildjob import extra, options
from buildjob.cli.publish_options import Arguments, add_environment, parser
from buildjob.errors import AgentError, Interrupted
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES, Outcome
from buildjob.process.interruption import interrupted_by_signals
from status_line.screen import screen_for

_BROKEN_PIPE = 128 + 13


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spack-farm publish` with these arguments; return its exit code."""
    arguments = parser().parse_args(argv, namespace=Arguments())
    code = _run(arguments)
    if not arguments.prestarted:
        return code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the agent waits for the end, and Python would take a while to free all that boto3 has loaded


def _run(arguments: Arguments) -> int:
    log = _log(options.environment(), quiet=arguments.quiet)
    try:
        with interrupted_by_signals():
            if arguments.prestarted:
                from buildjob.cli import publish_push  # noqa: PLC0415  as all verbs

                if not publish_push.wait_for_environment(arguments):
                    return 0
            variables = options.environment()
            log = _log(variables, quiet=arguments.quiet)
            add_environment(arguments, variables)
            verb = importlib.import_module(f"buildjob.cli.publish_{arguments.verb}")  # --help need not load it
            code: int = verb.run(arguments, log)
            sys.stdout.flush()  # here, where an error becomes a line
            return code
    except Interrupted as stopped:
        message = "stopped; the build cache is consistent, and the same command continues from here"
        return _failed(arguments, log, message, stopped.outcome, 128 + stopped.signal_number)
    except AgentError as error:
        return _failed(arguments, log, str(error), error.outcome, EXIT_CODES[error.outcome])
    except BrokenPipeError:
        _write_nowhere()
        return _BROKEN_PIPE
    except OSError as error:  # a full disk where the index passes through, a folder that must not be read
        message = f"{_fault_of(error, arguments)}; the build cache is consistent"
        return _failed(arguments, log, message, Outcome.PUBLISH_FAILED, EXIT_CODES[Outcome.PUBLISH_FAILED])
    except Exception as error:  # noqa: BLE001  the one place that catches broadly
        if advice := extra.advice(error):
            return _failed(arguments, log, advice, Outcome.BAD_REQUEST, EXIT_CODES[Outcome.BAD_REQUEST])
        message = "a bug in spack-farm; please report it with these lines\n" + traceback.format_exc()
        return _failed(arguments, log, message, None, BUG)


def _fault_of(error: OSError, arguments: Arguments) -> str:
    """Return what failed. An error of writing names no file: it is of temporary files, or of standard output."""
    if error.filename or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return f"{error.filename or 'a local file'}: {error.strerror or error}"
    from buildjob.agent import disks  # noqa: PLC0415  as all verbs

    use = "--scratch" if arguments.scratch else "temporary files"
    if full := disks.find_full([disks.Place(use, Path(arguments.scratch or tempfile.gettempdir()))]):
        return disks.message_of(full)
    _write_nowhere()
    return f"standard output or a local file: {error.strerror}"


def _write_nowhere() -> None:
    """Let standard output write nowhere: Python writes again what is left when it exits, and would end with 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _log(variables: Mapping[str, str], *, quiet: bool) -> Log:
    color = not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stderr.isatty())
    return Log(sys.stderr, color=color, screen=screen_for(sys.stderr, variables, quiet=quiet), quiet=quiet)


def _failed(arguments: Arguments, log: Log, message: str, outcome: Outcome | None, code: int) -> int:
    """Log an error, print it as JSON where that was asked for, and return the exit code.

    The outcome is None for a bug in spack-farm, which has none.
    """
    log.error(message)
    if arguments.json:
        import msgspec  # noqa: PLC0415  --help need not load it

        sys.stdout.write(msgspec.json.encode({"error": message, "outcome": outcome}).decode() + "\n")
        sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
