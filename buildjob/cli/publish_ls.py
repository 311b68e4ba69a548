"""`spack-farm publish ls`: list the binaries that the index names."""

import sys

import msgspec

from buildjob.buildcache import dependencies, listing, presence
from buildjob.cli.publish_inputs import open_existing, open_mirror, read
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """List; return the exit code."""
    if arguments.of:
        return _which(arguments, read(arguments.of, "--of").decode("utf-8", "replace").split(), log)
    for row in listing.listed(open_existing(arguments, arguments.mirror, log)):
        if arguments.json:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        else:
            sys.stdout.write(f"{row.hash[:7]}  {row.architecture}  {row.name}@{row.version}\n")
    return 0


def _which(arguments: Arguments, keys: list[str], log: Log) -> int:
    """Print which of the manifest keys are there, in their order; none if there is no build cache yet."""
    store = open_mirror(arguments, arguments.mirror, log)
    there = dependencies.present(store, keys, workers=connections_of(arguments), believe_index=True)
    if arguments.require:
        signed = arguments.require == "signature"
        there = dependencies.readable_among(store, there, workers=connections_of(arguments), signed=signed)
    found = [key for key in keys if key in there]
    if not found:  # none of them, or no access: the agent would build for hours and then fail to publish
        presence.require_access(store)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n" if arguments.json else "".join(f"{key}\n" for key in found))
    return 0
