"""`spack-farm publish keys`: list the public keys that a build cache offers, or add some."""

import sys

from buildjob.buildcache import keys
from buildjob.cli.publish_inputs import open_existing, open_mirror, read
from buildjob.cli.publish_options import Arguments
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """Add keys, if any are given, and list all; return the exit code."""
    # who offers the first key may make the build cache with it
    opened = open_mirror if arguments.add else open_existing
    store = opened(arguments, arguments.mirror, log)
    for file in arguments.add:
        for fingerprint in keys.add(store, read(file, "--add")):
            log.note(f"{fingerprint} added")
    for fingerprint in keys.published(store):
        sys.stdout.write(f"{fingerprint}\n")
    return 0
