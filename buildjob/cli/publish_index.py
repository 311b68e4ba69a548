"""`spack-farm publish index`: merge into the index what pushes have announced."""

from buildjob.buildcache import index
from buildjob.buildcache.indexing.pending_pushes import Known
from buildjob.cli.publish_inputs import index_options, open_mirror
from buildjob.cli.publish_options import Arguments
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """Update the index; return the exit code."""
    updated = index.update(open_mirror(arguments, arguments.mirror), Known(), index_options(arguments))
    log.note(f"{updated.added} binaries added to the index" if updated.replaced else "the index is up to date")
    if updated.unfinished:
        log.warning(f"{updated.unfinished} announced binaries have not appeared: their push still runs, or was killed")
    return 0
