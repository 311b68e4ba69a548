"""The command line of `spack-farm autoscaler`: its parser. Loads nothing but the standard library."""

import argparse
import math

_EXIT_CODES = """
exit codes:
  0 done
  1 the cluster or the cloud does not answer, or denies access, or the output cannot be written
  2 bad request
"""
_SETTINGS = "the settings, a TOML file"
_SNAPSHOT = "a recorded Snapshot, or - for standard input ([service] record_folder records them)"


class Arguments(argparse.Namespace):
    """What was given; each verb has some of them."""

    verb: str
    settings: str
    snapshot: str
    snapshots: list[str]
    subject: str
    against: str | None
    once: bool
    dry_run: bool
    json: bool
    now: float | None
    example: str
    workload: str | None
    seeds: int
    placement: str
    start: str
    page: str | None


def parser(prog: str = "spack-farm autoscaler") -> argparse.ArgumentParser:
    """Return the parser."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Keep as many nodes as builds need, soon enough, and never end a build.",
        epilog="example:\n  spack-farm autoscaler simulate examples/autoscaler\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    _run(verbs)
    _plan(verbs)
    _replay(verbs)
    _explain(verbs)
    _simulate(verbs)
    return new


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, *, example: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _settings(new: argparse.ArgumentParser) -> None:
    new.add_argument("--settings", metavar="FILE", required=True, help=_SETTINGS)


def _now(new: argparse.ArgumentParser) -> None:
    new.add_argument(
        "--now", metavar="SECONDS", type=_time, help="decide at this Unix time (default: when the Snapshot was taken)"
    )


def _time(text: str) -> float:
    """Return a Unix time. No comparison with nan holds: each age would be enough for a removal."""
    seconds = float(text)
    if not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"{text} is not a time")
    return seconds


def _run(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "run", "run the service", example="spack-farm autoscaler run --settings autoscaler.toml")
    _settings(new)
    new.add_argument("--once", action="store_true", help="end after one plan was carried out")
    new.add_argument("--dry-run", action="store_true", help="carry nothing out: log each plan")


def _plan(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "plan",
        "print what would be done with a recorded Snapshot",
        example="spack-farm autoscaler plan --settings autoscaler.toml 001790000000000.snapshot.json",
    )
    _settings(new)
    new.add_argument("snapshot", metavar="SNAPSHOT", help=_SNAPSHOT)
    _now(new)
    new.add_argument("--json", action="store_true", help="print the ScalePlan as a document")


def _replay(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "replay",
        "decide again on recorded Snapshots, a line each",
        example="spack-farm autoscaler replay --settings new.toml --against old.toml recorded/",
    )
    _settings(new)
    new.add_argument("snapshots", metavar="SNAPSHOT", nargs="+", help="recorded Snapshots, or folders with them")
    new.add_argument("--against", metavar="FILE", help="other settings; print where their plans differ")


def _explain(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "explain",
        "say why a pod or a job waits, or why a node stays or goes",
        example="spack-farm autoscaler explain --settings autoscaler.toml --snapshot last.snapshot.json runner-x-job-7",
    )
    _settings(new)
    new.add_argument("--snapshot", metavar="SNAPSHOT", required=True, help=_SNAPSHOT)
    _now(new)
    new.add_argument("subject", metavar="NAME", help="name of a pod or a node, or package or hash of a job in a job graph")


def _simulate(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs,
        "simulate",
        "say what pipelines would cost, and how long their jobs would wait",
        example="spack-farm autoscaler simulate examples/autoscaler --page simulation.html",
    )
    new.add_argument(
        "example", metavar="FOLDER", nargs="?", default="", help="a folder with settings.toml and workload.toml"
    )
    new.add_argument("--settings", metavar="FILE", default="", help="the settings (default: settings.toml of FOLDER)")
    new.add_argument("--workload", metavar="FILE", help="the pipelines (default: workload.toml of FOLDER)")
    new.add_argument(
        "--against",
        metavar="OLD",
        help="other settings, or a folder as FOLDER: print what changes from them (cost, waits, nodes, kills)",
    )
    new.add_argument(
        "--snapshot",
        metavar="SNAPSHOT",
        default="",
        help="a recorded Snapshot: types have what its nodes have, less what DaemonSets take there",
    )
    new.add_argument(
        "--start",
        metavar="TIME",
        default="",
        help="when simulated time begins, such as 2026-01-05T09:00:00Z (default: start of the workload, else that Monday)",
    )
    new.add_argument(
        "--seeds", metavar="N", type=int, default=3, help="runs with other chances; means are shown (default: 3)"
    )
    new.add_argument(
        "--placement",
        choices=("most", "least", "affinity", "align"),
        default="most",
        help="the scheduler: on the fullest node, on the emptiest one, or with jobs that end together (default: most)",
    )
    new.add_argument("--page", metavar="FILE", help="write an HTML page with each node's time, too")
    new.add_argument("--json", action="store_true", help="print the figures as a document")
