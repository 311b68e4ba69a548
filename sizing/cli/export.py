"""`export`: a size table as a scope of Spack's CI configuration."""

import sys

from sizing.cli.arguments import Arguments
from sizing.cli.written import table_in
from sizing.exports import submapping


def run(arguments: Arguments) -> int:
    """Print the scope. Raises BadRequest."""
    rows, digest = table_in(arguments.table)
    sys.stdout.write(submapping(rows, digest=digest))
    return 0
