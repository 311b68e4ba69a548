"""`builds`: the last build of each spec, for `spack-farm pipelines coverage` and others."""

import sys
import time

from sizing.cli.arguments import Arguments, history
from sizing.history.history import open_history
from sizing.last_builds import document, last_builds


def run(arguments: Arguments) -> int:
    """Print the document. Raises SizingError."""
    with open_history(history(arguments), makes=False) as opened:
        found = last_builds(opened.builds())
    sys.stdout.write(document(found, now=time.time()))
    return 0
