"""`check`: the faults of each document, one a line. Needs the standard library only."""

import sys

from ctest_xml.arguments import Arguments
from ctest_xml.check import check
from ctest_xml.errors import BadInput


def run(arguments: Arguments) -> int:
    """Print the faults of each document; return 1 if there are any. Raises BadInput."""
    found = False
    for file in arguments.files:
        try:
            faults = check(file)
        except OSError as error:
            raise BadInput(f"{file}: {error.strerror}; give the path of a document") from error
        found = found or bool(faults)
        sys.stdout.writelines(f"{file}: {fault}\n" for fault in faults)
        if not faults:
            sys.stdout.write(f"{file}: good\n")
    return int(found)
