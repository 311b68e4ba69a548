"""`python -m buildjob`: the same as `spack-farm build`."""

import sys

from buildjob.cli.build import main

if __name__ == "__main__":
    sys.exit(main())
