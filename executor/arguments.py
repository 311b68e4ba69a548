"""The command line of `spack-farm executor`. What the Runner calls is read without argparse; --help loads nothing else.

argparse rejects a wrong one with 2, which is a system failure.
"""

import argparse
import functools
from pathlib import Path

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


def read_arguments(argv: list[str]) -> Arguments:
    """Return the command line. Ends the process, as argparse does, for a wrong one and for help."""
    match argv:
        # What the Runner calls: argparse would cost each call 0.2 MiB of memory and 1 ms.
        case ["config" | "prepare" | "cleanup" as verb, "--config", config] if config[:1] != "-":
            return Arguments(verb=verb, config=Path(config))
        case ["run", "--config", config, script, stage] if "-" not in {config[:1], script[:1], stage[:1]}:
            return Arguments(verb="run", config=Path(config), script=Path(script), stage=stage)
    return parser().parse_args(argv, namespace=Arguments())


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
