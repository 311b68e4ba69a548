"""`spack-farm publish prune`: mark the binaries that no rule keeps, and delete those marked before the grace period."""

import sys
from pathlib import Path

from buildjob import options
from buildjob.buildcache import prune
from buildjob.cli.publish_inputs import index_options, log_left_out, open_existing
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.log import Log
from buildjob.report.format import format_count


def run(arguments: Arguments, log: Log) -> int:
    """Prune, or only show what would be done; return the exit code."""
    rules = prune.KeepRules(
        dag_hashes=frozenset().union(*(prune.kept_by(Path(file)) for file in arguments.keep)),
        age_seconds=options.seconds(arguments.older_than, "--older-than"),
        grace_seconds=options.seconds(arguments.grace, "--grace"),
    )
    store = open_existing(arguments, arguments.mirror, log)
    planned = prune.plan(store, rules, workers=connections_of(arguments))
    for key in (*planned.marked, *planned.unreferenced):
        sys.stdout.write(f"{'delete' if key in planned.sweepable or key in planned.sweepable_blobs else 'mark  '} {key}\n")
    log.summary(
        f"no keep rule holds for {_binaries(len(planned.marked))}, no manifest names "
        f"{format_count(len(planned.unreferenced), 'blob')}; {_binaries(len(planned.sweepable))} and "
        f"{format_count(len(planned.sweepable_blobs), 'blob')} can be deleted now"
    )
    code = log_left_out(log, planned.left_out)
    if planned.keeps_blobs:
        log.warning("no blob is deleted: what could not be read may be a manifest, and any blob one that it names")
    if not arguments.apply:
        log.note("nothing was changed; --apply does it")
        return code
    if planned.sweepable or planned.sweepable_blobs:
        swept = prune.sweep(store, planned, index_options(arguments))
        log.summary(f"deleted {_binaries(swept.manifests)} and {format_count(swept.blobs, 'blob')}")
        if not swept.is_complete:
            log.warning("the time for one run is over; run it again")
    if prune.mark(store, planned):
        log.note(f"the others were marked; a run after {arguments.grace} deletes them")
    return code


def _binaries(number: int) -> str:
    return format_count(number, "binary", "binaries")
