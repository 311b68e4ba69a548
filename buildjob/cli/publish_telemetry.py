"""`spack-farm publish telemetry`: upload what builds measured to where sizes are computed from."""

import sys
from pathlib import Path

import msgspec

from buildjob import options
from buildjob.buildcache import send_telemetry
from buildjob.cli.publish_inputs import open_mirror
from buildjob.cli.publish_options import Arguments
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """Upload the documents; return the exit code."""
    is_protected = options.environment().get("CI_COMMIT_REF_PROTECTED") == "true"
    place = arguments.place or ("protected" if is_protected else "other")
    files = send_telemetry.found([Path(path) for path in arguments.documents])
    store = open_mirror(arguments, arguments.mirror, log)
    sent = send_telemetry.send(files, store, place)
    log.note(f"{len(sent)} documents are below {store.url}/telemetry/v1/{place}/")
    if arguments.json:
        shown = {"documents": [f"{store.url}/{key}" for key in sent]}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    return 0
