"""`spack-farm publish prune`: mark the binaries that no rule keeps, and delete those marked before the grace period."""

import sys
from pathlib import Path

from buildjob import options
from buildjob.buildcache import prune
from buildjob.cli.publish_inputs import index_options, open_mirror
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """Prune, or only show what would be done; return the exit code."""
    policy = prune.Policy(
        hashes=frozenset().union(*(prune.kept_by(Path(file)) for file in arguments.keep)),
        age_seconds=options.seconds(arguments.older_than, "--older-than"),
        grace_seconds=options.seconds(arguments.grace, "--grace"),
    )
    store = open_mirror(arguments, arguments.mirror)
    asked = prune.plan(store, policy, workers=connections_of(arguments))
    for key in (*asked.doomed, *asked.orphans):
        sys.stdout.write(f"{'delete' if key in asked.due_manifests or key in asked.due_blobs else 'mark  '} {key}\n")
    log.note(
        f"{len(asked.doomed)} binaries and {len(asked.orphans)} unreferenced blobs match no keep rule; "
        f"{len(asked.due_manifests)} binaries and {len(asked.due_blobs)} blobs can be deleted now"
    )
    if not arguments.apply:
        log.note("nothing was changed; --apply does it")
        return 0
    if asked.due_manifests or asked.due_blobs:
        deleted = prune.delete(store, asked, index_options(arguments))
        log.note(f"{deleted.manifests} binaries and {deleted.blobs} blobs were deleted")
        if not deleted.is_complete:
            log.warning("the time for one run is over; run it again")
    if prune.mark(store, asked):
        log.note(f"the others were marked; a run after {arguments.grace} deletes them")
    return 0
