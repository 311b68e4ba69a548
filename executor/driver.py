"""Runs a verb in this process. Only this module logs errors, maps them to exit codes and catches broadly.

Python's own exit code for an unknown exception is 1, which the Runner counts as the job's failure: so no exception leaves.
"""

import contextlib
import importlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from executor import errors, extra
from executor.arguments import Arguments, parser, read_arguments
from executor.attempt import load_attempt
from executor.call import Call
from executor.config import config
from executor.environment import Invocation, build_failure, exit_code, process_environment, read_invocation
from executor.log import Log, shows_color
from executor.settings import ignored_keys, load_settings
from executor.verdict import Booking, Verdict

_SYSTEM_FAILURE = 2
_BUG = 70
_BROKEN_PIPE = 141
__all__ = ["main", "parser"]


def main(argv: list[str] | None = None) -> int:
    """Run a verb and return the exit code for the Runner."""
    arguments = read_arguments(sys.argv[1:] if argv is None else argv)
    if arguments.verb == "check":
        return _check(arguments)
    environ = process_environment()
    system_failure = exit_code(environ, "SYSTEM_FAILURE_EXIT_CODE", default=_SYSTEM_FAILURE)
    logs_to_job = arguments.verb in {"prepare", "run"}
    job_log = Log(1 if logs_to_job else 2, color=logs_to_job and shows_color(environ))
    invocation = None
    try:
        if arguments.verb != "config":
            invocation = read_invocation(environ)
        return _call(arguments, invocation, job_log)
    except errors.Terminated:
        _try_to_log(job_log, "ended by the Runner's TERM")
    except errors.DriverError as error:
        _try_to_log(job_log, str(error))
        if error.blame is errors.Blame.BUILD and invocation is not None and logs_to_job:
            return build_failure(invocation, invocation.build_failure)
    except BrokenPipeError:
        pass  # GitLab Runner is gone and reads no message
    except BaseException as error:  # noqa: BLE001 (the one way out)
        _try_to_log(job_log, extra.advice(error) or f"unexpected, please report:\n{traceback.format_exc()}")
    return system_failure


def _check(arguments: Arguments) -> int:
    """Run the one verb that operators call, and return its exit code."""
    log = Log(2, color=shows_color(process_environment()))
    try:
        check = importlib.import_module("executor.check")
        options = check.Options(
            config=arguments.config, config_toml=arguments.config_toml, image=arguments.image,
            runner_version=arguments.runner_version, run_pod=arguments.run_pod,
        )  # fmt: skip
        code: int = check.check(options)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 (the one way out)
        advice = extra.advice(error)
        _try_to_log(log, advice or f"unexpected, please report:\n{traceback.format_exc()}")
        return _SYSTEM_FAILURE if advice else _BUG
    return code


def _call(arguments: Arguments, invocation: Invocation | None, job_log: Log) -> int:
    """Call the verb's function and return the exit code."""
    settings = load_settings(arguments.config)
    if invocation is None:
        sys.stdout.write(config(settings) + "\n")
        sys.stdout.flush()
        return 0
    if arguments.verb == "prepare":
        job_log.all([f"settings: {message}" for message in ignored_keys(arguments.config)], warnings=[])
    attempt = None if arguments.verb == "prepare" else load_attempt(invocation.folder)
    call = Call(
        invocation=invocation, settings=settings, job_log=job_log, attempt=attempt,
        script=arguments.script, stage=arguments.stage,
    )  # fmt: skip
    with contextlib.nullcontext() if arguments.verb == "run" else _term_raises():  # `run` passes TERM on to the script
        verdict = _function_of(arguments.verb, call)(call)
    return 0 if verdict is None else _conclude(verdict, invocation, job_log)


def _function_of(verb: str, call: Call) -> Callable[[Call], Verdict | None]:
    """Import the module of a verb, so that a call loads nothing that only other verbs need; return the verb's function."""
    backend = call.attempt.backend if call.attempt else call.settings.backend if verb == "prepare" else ""
    module = importlib.import_module("executor.local" if backend == "local" else f"executor.{verb}")
    function: Callable[[Call], Verdict | None] = getattr(module, verb)
    return function


@contextlib.contextmanager
def _term_raises() -> Iterator[None]:
    """Raise Terminated on TERM within. Later TERM ends the process at once: nothing would catch the exception there."""

    def terminate(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise errors.Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _conclude(verdict: Verdict, invocation: Invocation, job_log: Log) -> int:
    """Log what a verdict says and return its exit code; the script's own goes into the Runner's file first."""
    if verdict.warning:
        job_log.warning(verdict.warning)
    if verdict.error:
        job_log.error(verdict.error)
    match verdict.booking:
        case Booking.SUCCESS:
            return 0
        case Booking.SYSTEM_FAILURE:
            return invocation.system_failure
        case Booking.BUILD_FAILURE:
            return build_failure(invocation, verdict.exit_code)


def _try_to_log(job_log: Log, message: str) -> None:
    with contextlib.suppress(OSError):  # the Runner may be gone
        job_log.error(message)


if __name__ == "__main__":
    sys.exit(main())
