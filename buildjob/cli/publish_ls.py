"""`spack-farm publish ls`: list the binaries that the index names."""

import sys

import msgspec

from buildjob.buildcache import listing
from buildjob.cli.publish_inputs import open_existing
from buildjob.cli.publish_options import Arguments
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """List; return the exit code."""
    for row in listing.listed(open_existing(arguments, arguments.mirror, log)):
        if arguments.json:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        else:
            sys.stdout.write(f"{row.hash[:7]}  {row.architecture}  {row.name}@{row.version}\n")
    return 0
