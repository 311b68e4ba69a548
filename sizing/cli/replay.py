"""`replay`: what each policy would have wasted on the builds of the history, had it sized them as they came."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from sizing.cli.arguments import Arguments, history, policy_settings
from sizing.cli.fit import moment, priors_in
from sizing.errors import HistoryError
from sizing.history.history import open_history
from sizing.observations import Observation, Prior
from sizing.policies.table import POLICIES
from sizing.replay import as_asked, by_policy, replayed, totals
from sizing.training import training

_HEADINGS = ("waste GB·h", "failed", "attempts", "of it without history")


def run(arguments: Arguments) -> int:
    """Print one line for each policy. Raises SizingError."""
    now, settings, priors = moment(arguments.now), policy_settings(arguments), priors_in(arguments.prior)
    with open_history(history(arguments), makes=False) as opened:
        builds = list(_with_priors(training(opened, now=now, settings=settings), priors))
    if not builds:
        raise HistoryError("nothing to replay: the history has no trusted builds that came to their end; see sizing ingest")
    largest = max(max(seen.memory_needed_bytes or 0, seen.asked_memory_bytes or 0) for seen in builds)
    cap = settings.cap_bytes or 2 * largest
    ways = {name: by_policy(name, replace(settings, cap_bytes=cap)) for name in sorted(POLICIES)}
    sys.stdout.write(f"{len(builds):,} builds, {sum(map(_gb_hours, builds)):,.1f} GB·h used\n{_line('', *_HEADINGS)}")
    for name, way in {"as asked": as_asked, **ways}.items():
        found = totals(replayed(builds, way, cap_bytes=cap))
        cold = found.cold_waste_gb_hours / found.waste_gb_hours if found.waste_gb_hours else 0.0
        figures = (
            f"{found.waste_gb_hours:,.1f}",
            f"{found.failed / found.builds:.2%}",
            str(found.most_attempts),
            f"{cold:.0%}",
        )
        sys.stdout.write(_line(name, *figures))
    return 0


def _with_priors(observations: Iterable[Observation], priors: Mapping[str, Prior]) -> Iterator[Observation]:
    """Yield the builds that came to their end, each with what was asked for by hand in place of what it asked for."""
    for seen in observations:
        if seen.censored or not seen.memory_needed_bytes or not seen.wall_seconds:
            continue
        prior = next((priors[key].memory_bytes for key in seen.keys if key in priors), None)
        yield replace(seen, asked_memory_bytes=prior or seen.asked_memory_bytes)


def _gb_hours(seen: Observation) -> float:
    return (seen.memory_needed_bytes or 0) * (seen.wall_seconds or 0.0) / (10**9 * 3600)


def _line(name: str, *figures: str) -> str:
    widths = (len(heading) for heading in _HEADINGS)
    return f"{name:<12}{''.join(f'  {figure:>{width}}' for figure, width in zip(figures, widths, strict=True))}\n"
