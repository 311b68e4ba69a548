"""`spack-farm publish index`: merge into the index what pushes have announced."""

from buildjob.buildcache import documents, index, layout
from buildjob.buildcache.indexing.pending_pushes import Known
from buildjob.cli.publish_inputs import index_options, log_left_out, open_existing
from buildjob.cli.publish_options import Arguments
from buildjob.log import Log
from buildjob.report.format import format_count


def run(arguments: Arguments, log: Log) -> int:
    """Update the index; return the exit code."""
    store = open_existing(arguments, arguments.mirror, log)
    if documents.ensure_layout(store):
        log.note(f"wrote {layout.LAYOUT}, which was missing")
    updated = index.update(store, Known(), index_options(arguments))
    added = format_count(updated.added, "binary", "binaries")
    log.summary(f"{added} added to the index" if updated.replaced else "the index is up to date")
    if updated.unfinished:
        announced = format_count(updated.unfinished, "announced binary", "announced binaries")
        log.warning(f"not there yet: {announced}, whose push still runs, or was killed")
    return log_left_out(log, updated.left_out)
