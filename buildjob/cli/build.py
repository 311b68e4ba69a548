"""The command line of `spack-farm build`, and its one way out.

Help, completion and the manual page are made from its parser. Only here do errors become a line and an exit code.
"""

import argparse
import contextlib
import errno
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence

from buildjob import extra, options
from buildjob.cli import publish_options
from buildjob.errors import AgentError, Interrupted
from buildjob.event_output import Events, events_on_stdout
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES, Outcome
from buildjob.version import own_version
from spelling.variables import likely_slips
from status_line.screen import screen_for

EXAMPLE = """\
examples:
  spack-farm build zlib
  spack-farm build hdf5+mpi --mirror ./mirror --signing-key-file key.asc --timeout 2h
  spack-farm build ./environment --hash 2dvny7r --out reports
  spack-farm build --ci --tests
  spack-farm build --command 'make -j4 install' --name hello --version 1.0

exit codes:
  0 built, or already there        5 disk full
  1 build failed                   6 a dependency failed
  2 bad request                  100 publishing failed
  3 Spack is unusable            124 timed out
  4 fetching failed              137 killed for memory
 70 a bug in spack-farm        128+n interrupted by signal n

Options may be given as variables too: SPACK_FARM_BUILD_MIRROR, SPACK_FARM_BUILD_SIGNING_KEY_FILE, …; an option wins.
"""

_PREFIXES = ("SPACK_FARM_BUILD_", publish_options.PREFIX)


def parser(prog: str = "spack-farm build") -> argparse.ArgumentParser:
    """Return the parser; its defaults are None, so that the environment can give a value."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Build packages with Spack, measure, sign and publish them, and write a report of each.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    new.add_argument("spec", nargs="*", metavar="SPEC", help="a spec, a file with a concrete spec, or an environment")
    new.add_argument("--hash", metavar="HASH", help="build only the spec with this hash, of the environment SPEC")
    for add in (_spack, _publishing, _running, _reporting, _pipeline, _again, _command):
        add(new)
    new.set_defaults(config_scope=None, trust=None)
    return new


def _spack(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("Spack")
    group.add_argument(
        "--spack", metavar="FOLDER", help="the Spack to use (default: $SPACK_ROOT, PATH, or that of scripts/get-spack)"
    )
    group.add_argument("-C", "--config-scope", metavar="FOLDER", action="append", help="a configuration scope for Spack")
    group.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        help="parallel jobs of the build (default: $SPACK_BUILD_JOBS, else as Spack is configured)",
    )
    group.add_argument("--fresh", action="store_true", default=None, help="concretize without reusing what is installed")


def _publishing(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("publishing")
    group.add_argument(
        "--mirror",
        metavar="MIRROR",
        help="the build cache to publish to: a folder, a file:// URL, or s3://BUCKET/PREFIX (default: none)",
    )
    group.add_argument("--signing-key-file", metavar="FILE", help="the secret key that signs; read after the build")
    group.add_argument("--signing-passphrase-file", metavar="FILE", help="its passphrase")
    group.add_argument(
        "--unsigned",
        action="store_true",
        default=None,
        help="publish without signatures; users of the build cache must turn off signature checks",
    )
    group.add_argument(
        "--no-publish",
        dest="publish",
        action="store_false",
        default=None,
        help="leave the unsigned binary in the run folder",
    )
    group.add_argument(
        "--private",
        action="store_true",
        default=None,
        help="the build cache is private: publish also what must not be redistributed",
    )
    group.add_argument(
        "--allow-missing",
        action="store_true",
        default=None,
        help="publish a package also if the build cache then lacks what it needs at run time",
    )
    group.add_argument("--trust", metavar="FILE", action="append", help="public keys whose binaries may be installed")
    group.add_argument(
        "--telemetry-mirror",
        metavar="MIRROR",
        help="upload telemetry to telemetry/v1/ there, where job sizes are computed from; a failure is only a warning",
    )


def _running(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("running")
    group.add_argument("--out", metavar="FOLDER", help="where the run folders are made (default: spack-farm-out)")
    group.add_argument("--timeout", metavar="TIME", help="stop after this time in total: 90s, 15m, 1h30m")
    group.add_argument(
        "--memory", metavar="SIZE", help="kill what takes more memory than this, as a pod of that size would: 4Gi, 512Mi"
    )
    group.add_argument("--interval", metavar="TIME", help="time between two samples (default: 1s)")


def _reporting(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("reporting")
    group.add_argument(
        "--sections",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mark sections of the log, which GitLab folds (default: in GitLab's jobs)",
    )
    group.add_argument("-q", "--quiet", action="store_true", default=None, help="show errors and the final result only")
    group.add_argument(
        "--json",
        action="store_true",
        default=None,
        help="print one event a line to standard output; lines for people go to standard error",
    )
    group.add_argument(
        "--site", metavar="NAME", help="CDash's site: the class of machine (default: the runner or host name)"
    )
    group.add_argument("--group", metavar="NAME", help="CDash's build group (default: Experimental)")


def _pipeline(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("in a pipeline of 'spack ci generate', instead of 'spack ci rebuild'")
    group.add_argument(
        "--ci",
        action="store_true",
        default=None,
        help="build the spec that the job's variables name; binaries go to the mirror buildcache-destination",
    )
    group.add_argument(
        "-t", "--tests", action="store_true", default=None, help="run the package's stand-alone tests after the build"
    )
    group.add_argument("--test-timeout", metavar="TIME", help="how long the tests may take")
    group.add_argument(
        "--fail-fast",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="stop the tests after the first failure (default: $SPACK_CI_FAIL_FAST, else yes)",
    )


def _again(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("the same again")
    group.add_argument(
        "--reproduce",
        metavar="URL|FOLDER",
        help="build what a run has built; named by its GitLab job's address, or by its artifacts, packed or not",
    )
    group.add_argument("--yes", action="store_true", default=None, help="do not ask")
    group.add_argument(
        "--engine",
        metavar="PROGRAM",
        help="podman, docker or nerdctl: build in the image of the run's job (default: the first that answers); none: "
        "build with the Spack here",
    )


def _command(new: argparse.ArgumentParser) -> None:
    group = new.add_argument_group("without Spack")
    group.add_argument("--command", metavar="TEXT", help="a shell command to run and measure instead of a Spack build")
    group.add_argument("--name", metavar="NAME", help="its name")
    group.add_argument("--version", metavar="VERSION", help="its version")
    group.add_argument("--prefix", metavar="FOLDER", help="where it installs to")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spack-farm build` with these arguments; return its exit code."""
    arguments = parser().parse_args(argv)
    variables = options.environment()
    quiet, json = (_is_on(arguments, variables, name) for name in ("quiet", "json"))
    screen = screen_for(sys.stderr, variables, quiet=quiet)
    with events_on_stdout(screen) if json else contextlib.nullcontext(Events()) as events:
        events.begin(own_version())
        color, error_color = (
            not variables.get("NO_COLOR") and (bool(variables.get("CI")) or stream.isatty())
            for stream in (sys.stdout, sys.stderr)
        )
        log = Log(color=color, error_color=error_color, screen=screen, quiet=quiet, events=events)
        code = _carry_out(arguments, variables, log)
        events.finish(code)
        if events.fault:
            log.error(f"standard output takes no more events: {events.fault}")
    return code


def _is_on(arguments: argparse.Namespace, variables: Mapping[str, str], name: str) -> bool:
    """Return whether a switch is on that decides where everything is said, also that the request is rejected."""
    return bool(getattr(arguments, name)) or options.is_true(variables.get(f"{_PREFIXES[0]}{name.upper()}", ""))


def _carry_out(arguments: argparse.Namespace, variables: Mapping[str, str], log: Log) -> int:
    """Do what is asked for; return the exit code. Only here do errors become a line."""
    try:
        from buildjob.agent import request  # noqa: PLC0415  --help need not load it

        asked = request.parse(arguments, variables)
        options.reject_misspelled(variables, publish_options.PREFIX, publish_options.FROM_ENVIRONMENT, verb="publish")
        known = (*request.VARIABLES, *publish_options.VARIABLES)
        for slip in likely_slips(variables, known, mark="FARM", spared=_PREFIXES):
            log.warning(slip)
        extra.require(asked.packages)
        if asked.reproduce:
            from buildjob.ci.reproduce import reproduce  # noqa: PLC0415  as below

            return reproduce(asked, log)
        if asked.is_ci:
            from buildjob.ci.rebuild import rebuild  # noqa: PLC0415  a rejected request need not load it

            return rebuild(asked, log)
        from buildjob.agent.build import build  # noqa: PLC0415  a rejected request need not load it

        return build(asked, log)
    except Interrupted as stopped:
        log.error(str(stopped))
        log.events.outcome = Outcome.INTERRUPTED
        return 128 + stopped.signal_number
    except KeyboardInterrupt:  # before signals are caught
        log.error(str(Interrupted(signal.SIGINT)))
        log.events.outcome = Outcome.INTERRUPTED
        return 128 + signal.SIGINT
    except AgentError as error:
        log.error(str(error))
        log.events.outcome = error.outcome
        return EXIT_CODES[error.outcome]
    except Exception as error:  # noqa: BLE001  the one place that catches broadly: Python's own 1 would blame the package
        if advice := extra.advice(error):
            log.error(advice)
            log.events.outcome = Outcome.BAD_REQUEST
            return EXIT_CODES[Outcome.BAD_REQUEST]
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            from buildjob.agent import disks  # noqa: PLC0415  as above

            log.error(str(disks.disk_full(error)))
            log.events.outcome = Outcome.DISK_FULL
            return EXIT_CODES[Outcome.DISK_FULL]
        log.error("a bug in spack-farm; please report it with these lines\n" + traceback.format_exc())
        return BUG
