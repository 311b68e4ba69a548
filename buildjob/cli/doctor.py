"""`spack-farm doctor`: checks everything that a build here needs, and says how to fix what is missing.

The checks are `doctor_checks`'s, which --help need not load.
"""

import argparse
from collections.abc import Sequence

from buildjob.errors import RequestError
from buildjob.log import Log
from buildjob.options import reject_empty
from buildjob.outcome import EXIT_CODES


def parser(prog: str = "spack-farm doctor") -> argparse.ArgumentParser:
    """Return the parser of the verb."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Check what a build here needs, and say how to fix what is missing.",
        epilog="""\
example:
  spack-farm doctor --mirror s3://binaries/farm --signing-key-file key.asc
  spack-farm doctor --cdash https://cdash.example.org --cdash-token-file token

Servers are asked side by side, each for 5 s at most. To S3 a small object is written, and deleted again.

exit codes:
  0 a build can start here
  1 something must be fixed first
  2 bad request
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    new.add_argument("--spack", metavar="FOLDER", help="the Spack to check")
    new.add_argument("--mirror", metavar="FOLDER", help="the build cache that builds will publish to")
    new.add_argument("--signing-key-file", metavar="FILE", help="the secret key that builds will sign with")
    new.add_argument("--signing-passphrase-file", metavar="FILE", help="its passphrase")
    new.add_argument("--cdash", metavar="URL", help="the CDash that documents will be sent to")
    new.add_argument("--cdash-project", metavar="NAME", default="Spack", help="the project there (default: Spack)")
    new.add_argument("--cdash-token-file", metavar="FILE", help="the token for it")
    new.add_argument("--out", metavar="FOLDER", default="spack-farm-out", help="where the run folders will be made")
    return new


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result of each check; return 1 if something must be fixed, 2 for an option that can't be right."""
    arguments = parser().parse_args(argv)
    log = Log()
    try:
        reject_empty(vars(arguments))
    except RequestError as error:
        log.error(str(error))
        return EXIT_CODES[error.outcome]
    from buildjob.cli.doctor_checks import checks  # noqa: PLC0415  --help need not load it

    is_good = True
    for check in checks(arguments):
        advice = f"\n      {check.advice}" if check.advice else ""
        log.plain(f"{check.mark} {check.text}{advice}")
        is_good = is_good and (check.is_good or not check.is_needed)
    return int(not is_good)
