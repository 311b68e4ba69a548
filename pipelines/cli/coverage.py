"""`spack-farm pipelines coverage`: what of a stack is on a mirror, what is not and why, and which fixes unlock most."""

import time

import msgspec

from pipelines import history
from pipelines.cli.arguments import Arguments
from pipelines.cli.graphs import graph_at, print_text, write_page
from pipelines.mirrors import Mirror
from pipelines.reports import page, text
from pipelines.reports.coverage import Coverage, Known, coverage


def run(arguments: Arguments) -> int:
    """Show the coverage; return the exit code."""
    graph = graph_at(arguments.graph, endpoint_url=arguments.endpoint_url)
    mirror = Mirror(arguments.mirror, endpoint_url=arguments.endpoint_url)
    notes: list[str] = []
    there = mirror.binaries()
    verified = mirror.verified()
    if verified is None:
        notes.append("nothing is said of verification: 'spack-farm publish verify --record' leaves its report on the mirror")
    else:
        notes.append(f"last verified at {verified.at}")
    own: set[str] = set()
    if arguments.own_mirror:
        own = Mirror(arguments.own_mirror, endpoint_url=arguments.endpoint_url).binaries()
    builds = None
    if arguments.history:
        found = history.read(arguments.history, time.time())
        builds = found.builds
        notes.append(found.note)
    known = Known(
        there=there,
        good=verified.good if verified else frozenset(),
        broken=verified.faults if verified else {},
        own=own,
        builds=builds,
    )
    shown = coverage(graph, mirror.url, known)
    if arguments.page:
        write_page(arguments.page, page.of_coverage(shown, notes))
    print_text(_json(shown, notes) if arguments.json else text.of_coverage(shown, notes))
    return 0


def _json(shown: Coverage, notes: list[str]) -> str:
    document = {"version": 1, **msgspec.to_builtins(shown), "wanted": shown.wanted, "covered": shown.covered, "notes": notes}
    return msgspec.json.encode(document).decode() + "\n"
