"""`spack-farm pipelines show`: a job graph as text, page or JSON; with `--diff`, what changed since another one."""

import math

import msgspec

from pipelines.cli.arguments import Arguments
from pipelines.cli.graphs import graph_at, print_text, write_page
from pipelines.errors import BadRequest
from pipelines.reports import page, text
from pipelines.reports.differences import differences
from pipelines.reports.timing import Price, timing


def run(arguments: Arguments) -> int:
    """Show; return the exit code."""
    graph = graph_at(arguments.graph, endpoint_url=arguments.endpoint_url)
    price = _price(arguments)
    found = timing(graph)
    changed = None
    if arguments.diff:
        changed = differences(graph_at(arguments.diff, endpoint_url=arguments.endpoint_url), graph)
    if arguments.page:
        write_page(arguments.page, page.of_graph(graph, found, price, changed))
    if arguments.json:
        shown = {"version": 1, "stack": graph.stack, "digest": graph.digest, "timing": found, "differences": changed}
        print_text(msgspec.json.encode(shown).decode() + "\n")
    elif changed is not None:
        print_text(text.of_differences(changed))
    else:
        print_text(text.of_graph(graph, found, price))
    return 0


def _price(arguments: Arguments) -> Price | None:
    if arguments.core_hour is None and arguments.gib_hour is None:
        return None
    prices = arguments.core_hour or 0.0, arguments.gib_hour or 0.0
    if not all(0 <= price < math.inf for price in prices):
        raise BadRequest("--core-hour and --gib-hour are prices; they can't be negative or without an end")
    return Price(core_hour=prices[0], gib_hour=prices[1])
