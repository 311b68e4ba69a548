"""Runs a verb in this process. Only this module logs errors, maps them to exit codes and catches broadly.

Python's own exit code for an unknown exception is 1, which the Runner counts as the job's failure: so no exception leaves.
"""

import argparse
import contextlib
import functools
import importlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from executor import errors, extra
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
_EPILOG = """\
example, in the Runner's own config.toml:
  run_exec = "spack-farm"
  run_args = ["executor", "run", "--config", "/etc/spack-farm/settings.toml"]

before the first job:
  spack-farm executor check --config /etc/spack-farm/settings.toml --config-toml /etc/gitlab-runner/config.toml

exit codes of `check`: 0 jobs can run, 1 the cluster would refuse them, 2 a file is wrong, 4 something does not answer
exit codes: what the Runner gives in BUILD_FAILURE_EXIT_CODE (the script's fault) and SYSTEM_FAILURE_EXIT_CODE (2 by default)
"""
_CHECK_EPILOG = """\
Each line is `ok`, a `note`, or `FIX` with what to do. Nothing is created: the pod of a job is sent as a dry run.
Run it as the user of gitlab-runner, on the manager.

exit codes:
  0 jobs can run            2 a file or an option is wrong
  1 the cluster refuses     4 something does not answer
"""
_RAW = argparse.RawDescriptionHelpFormatter


class Arguments(argparse.Namespace):
    """The command line."""

    verb: str
    config: Path | None
    script: Path = Path()
    stage: str = ""
    config_toml: Path | None = None
    image: str = ""
    runner_version: str = ""
    run_pod: bool = False


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


def read_arguments(argv: list[str]) -> Arguments:
    """Return the command line. Ends the process, as argparse does, for a wrong one and for help."""
    match argv:
        # What the Runner calls: argparse would cost each call 0.2 MiB of memory and 1 ms.
        case ["config" | "prepare" | "cleanup" as verb, "--config", config] if config[:1] != "-":
            return Arguments(verb=verb, config=Path(config))
        case ["run", "--config", config, script, stage] if "-" not in {config[:1], script[:1], stage[:1]}:
            return Arguments(verb="run", config=Path(config), script=Path(script), stage=stage)
    return parser().parse_args(argv, namespace=Arguments())


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


@functools.cache
def parser() -> argparse.ArgumentParser:
    """Return the command line's parser; argparse rejects a wrong one with 2, which is a system failure."""
    parser = argparse.ArgumentParser(
        prog="spack-farm executor",
        description="GitLab Runner's custom executor over Kubernetes",
        epilog=_EPILOG,
        formatter_class=_RAW,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, description in (
        ("config", "print what the Runner needs to know, as JSON"),
        ("prepare", "launch the job's pod"),
        ("run", "run one script in it"),
        ("cleanup", "delete the pod"),
    ):
        verb = verbs.add_parser(name, help=description, description=description)
        verb.add_argument("--config", type=Path, metavar="FILE", help="the operator's settings (TOML)")
        if name == "run":
            verb.add_argument("script", type=Path, help="the script, given by the Runner")
            verb.add_argument("stage", help="the stage's name, given by the Runner")
    check = "check settings, cluster, rights and the Runner's own file before the first job"
    verb = verbs.add_parser("check", help=check, description=check, epilog=_CHECK_EPILOG, formatter_class=_RAW)
    verb.add_argument("--config", type=Path, metavar="FILE", help="the operator's settings (TOML)")
    verb.add_argument("--config-toml", type=Path, metavar="FILE", help="the Runner's own config.toml")
    verb.add_argument(
        "--image", default="", metavar="IMAGE", help="the image of the pod that is tried (default: kubernetes.image)"
    )
    verb.add_argument(
        "--runner-version",
        default="",
        metavar="VERSION",
        help="the Runner's version (default: that of gitlab-runner on PATH)",
    )
    verb.add_argument("--run-pod", action="store_true", help="run one pod until scripts could begin in it, and delete it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
